import type { Evidence } from '../evidence/evidence.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { type Failure, irrecoverable } from '../verdict/failure.ts'
import type { AcceptedAlgorithms } from './accepted-algorithms.ts'
import { genuineQuote } from './genuine-quote.ts'
import { judgeDataPcr } from './judge-data-pcr.ts'

export interface IdentityQuestion {
  ak: PublicArea
  /** Of this request, never used before. */
  nonce: string
  accepted: AcceptedAlgorithms
}

/**
 * Judges an identity quote (protocol 3.4): made by the TPM of this AK for this nonce, over whatever PCRs the agent chose, and PCR 16 in it binds the
 * transport key that came along. Says nothing of what the machine runs. Only after it may a key share be encrypted to that key.
 */
export function verifyIdentity(
  evidence: Evidence,
  { ak, nonce, accepted }: IdentityQuestion,
): { transportKey: string } | { failures: Failure[] } {
  const { transportKey } = evidence
  if (transportKey === null)
    return { failures: [irrecoverable('qoute_validation', 'no_pubkey', { message: 'the agent sent no transport key' })] }
  const quote = genuineQuote(evidence, { ak, nonce, accepted, pcrs: null, clockInfo: null })
  if (!quote.ok) return { failures: quote.failures }
  const failures = judgeDataPcr(quote.pcrs, transportKey)
  return failures.length > 0 ? { failures } : { transportKey }
}
