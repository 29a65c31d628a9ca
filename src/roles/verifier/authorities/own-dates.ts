import { identityDates } from '../../../io/files/identity-dates.ts'
import type { TlsIdentity } from '../../../io/files/tls-identity.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { RoundResult } from '../rounds/attestation-round.ts'

/** What an agent of ours says of a certificate when the clock is elsewhere. */
const BY_ITS_CLOCK = /" (is not valid before|expired on) \d{4}-/

/**
 * A machine that does not take the verifier's certificate because of its dates has not failed: it cannot be reached until there is another, or until its own
 * clock is right, which is wrong after many a power cut. It gains nothing by saying so: a machine that is silent is announced as such, and gets nothing. @param identity what the verifier shows. @param now milliseconds since the epoch.
 */
export function blameOwnDates(
  { progress }: ManagedAgent,
  result: RoundResult,
  { identity, now }: { identity: TlsIdentity; now: number },
): RoundResult {
  if (!('event' in result) || result.event.type !== 'refused' || result.notBelieved !== true) return result
  const ended = identityDates(identity, 'client', now).find(({ level }) => level === 'error')
  if (!ended && !BY_ITS_CLOCK.test(result.event.reason)) return result
  const reason = `${result.event.reason}; ${ended ? `this verifier’s ${ended.text}` : 'here it is valid: look at the clock of the machine'}`
  return { event: { type: 'unreachable', stage: 'quote', attestedBefore: progress.attestationCount > 0, reason }, notBelieved: true }
}
