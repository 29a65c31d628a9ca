import { identityDates } from '../../../io/files/identity-dates.ts'
import type { TlsIdentity } from '../../../io/files/tls-identity.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { RoundResult } from '../rounds/attestation-round.ts'

/**
 * A machine that does not take the verifier's certificate because of its dates has not failed: it cannot be reached until there is another. It gains nothing by
 * saying so: a machine that is silent is announced as such, and gets nothing. @param identity what the verifier shows. @param now milliseconds since the epoch.
 */
export function blameOwnDates(
  { progress }: ManagedAgent,
  result: RoundResult,
  { identity, now }: { identity: TlsIdentity; now: number },
): RoundResult {
  if (!('event' in result) || result.event.type !== 'refused' || result.notBelieved !== true) return result
  const ended = identityDates(identity, 'client', now).find(({ level }) => level === 'error')
  if (!ended) return result
  const reason = `${result.event.reason}; this verifier’s ${ended.text}`
  return { event: { type: 'unreachable', stage: 'quote', attestedBefore: progress.attestationCount > 0, reason }, notBelieved: true }
}
