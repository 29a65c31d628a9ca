import { dataPcrValue } from '../quote/data-pcr.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import { DATA_PCR } from '../tpm/pcr-selection.ts'
import { type Failure, failure } from '../verdict/failure.ts'

/** PCR 16 of the quote must bind the transport key: only then may a key share be encrypted to it (protocol 4.5). */
export function judgeDataPcr(pcrs: VerifiedPcrs, transportKey: string): Failure[] {
  const got = pcrs.values.get(DATA_PCR)
  if (!got)
    return [
      failure('pcr_validation', `missing_pcr_${DATA_PCR}`, { message: `PCR ${DATA_PCR}, which binds the transport key, was not quoted` }),
    ]
  const expected = dataPcrValue(pcrs.hash, transportKey)
  if (got.equals(expected)) return []
  const message = `PCR ${DATA_PCR} does not bind the transport key that the agent sent`
  return [
    failure('pcr_validation', `invalid_pcr_${DATA_PCR}`, {
      message,
      pcr: DATA_PCR,
      got: got.toString('hex'),
      expected: [expected.toString('hex')],
    }),
  ]
}
