import { createHash } from 'node:crypto'
import { KeylimeError } from '../../core/errors.ts'
import { dataPcrEvent } from '../../core/quote/data-pcr.ts'
import { formatQuote } from '../../core/quote/quote-text.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { parseQuoteAttest } from '../../core/tpm/attest.ts'
import { DATA_PCR } from '../../core/tpm/pcr-selection.ts'
import type { AttestationKeys, LoadedKeys } from './attestation-keys.ts'

export interface QuoteRequest {
  nonce: Buffer
  hash: HashName
  /** PCR 16 is added. */
  pcrs: readonly number[]
  /** The transport key that PCR 16 binds to this quote. */
  transportKeyPem: string
}

const TRIES = 5

/**
 * A quote in Keylime's text form (protocol 4.5): PCR 16 is set to the transport key, the PCRs are read, quoted, and both compared; when a PCR changed in
 * between, again. Everything runs alone on the TPM: two quotes at once would disturb each other's PCR 16.
 * @throws KeylimeError `tpm_failed`.
 */
export function takeQuote(keys: AttestationKeys, request: QuoteRequest): Promise<string> {
  return keys.use((loaded) => quoteOnce(loaded, request))
}

async function quoteOnce({ tpm, ak }: LoadedKeys, { nonce, hash, pcrs, transportKeyPem }: QuoteRequest): Promise<string> {
  const selected = [...new Set([...pcrs, DATA_PCR])].sort((a, b) => a - b)
  await tpm.pcrReset(DATA_PCR)
  await tpm.pcrExtend(hash, DATA_PCR, dataPcrEvent(hash, transportKeyPem))
  for (let tries = 0; tries < TRIES; tries++) {
    const values = await tpm.pcrRead(hash, selected)
    if (values.size !== selected.length)
      throw new KeylimeError('tpm_failed', `the TPM has no ${hash} bank for the PCRs ${selected.join(', ')}`, {
        hint: 'choose a bank that the firmware measures into (tpm_hash_alg), or allocate it with tpm2_pcrallocate',
      })
    const { attest, signature } = await tpm.quote(ak, nonce, hash, selected)
    if (digestOf(hash, values).equals(parseQuoteAttest(attest).pcrDigest)) return formatQuote(attest, signature, { hash, values })
  }
  throw new KeylimeError('tpm_failed', `the PCRs changed during each of ${TRIES} quotes`)
}

function digestOf(hash: HashName, values: Map<number, Buffer>): Buffer {
  const digest = createHash(hash)
  for (const value of values.values()) digest.update(value)
  return digest.digest()
}
