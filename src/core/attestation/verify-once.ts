import type { Evidence } from '../evidence/evidence.ts'
import { FRESH_IMA } from '../ima/ima-policy.ts'
import type { AgentPolicy } from '../policy/agent-policy.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { boundRound } from '../verdict/bounded-round.ts'
import type { Failure } from '../verdict/failure.ts'
import { genuineQuote } from './genuine-quote.ts'
import { judgePolicies } from './verify-evidence.ts'

/**
 * Judges evidence that somebody else collected, once (protocol 4.10): the same order of checks as a round, without what only a verifier knows that
 * asks again and again (accepted algorithms, the clock of the last quote, a transport key).
 */
export function verifyOnce(evidence: Evidence, { ak, nonce, policy }: { ak: PublicArea; nonce: string; policy: AgentPolicy }): Failure[] {
  const quote = genuineQuote(evidence, { ak, nonce, accepted: null, pcrs: null, clockInfo: null })
  if (!quote.ok) return quote.failures
  const { failures } = judgePolicies(evidence, { policy, pcrs: quote.pcrs, evaluateBoot: true, ima: FRESH_IMA })
  return boundRound(failures, failures[0])
}
