import { fingerprint } from '../../../core/attestation/release.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { CarryV } from './carry-v.ts'

/** V for machines that fetch it: encrypted, to the transport key to which its release is recorded on the disk. */
export interface Offers {
  /** Another way to agents than `postV`: the machine asks for it. */
  carryV: CarryV
  /**
   * V for who brought evidence that binds this key. @param epoch of the agent when that evidence was asked for. @returns null when it is not due to it: another key, another enrolment, a
   * command of the operator since, a release that is over, or a verdict of a while ago: who was good once and waits with his question may not be so any more.
   */
  encryptedV(agent: ManagedAgent, given: { transportKey: string; epoch: number }): string | null
}

interface Offer {
  /** Of the transport key. */
  fingerprint: string
  encrypted: string
  /** Monotonic milliseconds. */
  at: number
}

/** A machine asks while its evidence is judged. One that comes later brings other evidence (decision 2). */
const COUNTS_MS = 30_000

/** @param allowed milliseconds of silence after which a machine is unreachable: no offer counts longer. */
export function createOffers(clock: Pick<Clock, 'monotonic'>, allowed: number): Offers {
  const countsMs = Math.min(allowed, COUNTS_MS)
  const offers = new WeakMap<ManagedAgent, Offer>()
  return {
    async carryV(agent) {
      const { transportKey, v, vReleasedTo } = agent.state
      try {
        const encrypted = encryptShare(transportKey!, Buffer.from(v!, 'base64'))
        offers.set(agent, { fingerprint: vReleasedTo!, encrypted, at: clock.monotonic() })
        return null
      } catch (error) {
        if (!isKeylimeError(error)) throw error
        return { type: 'refused', stage: 'v', reason: error.message }
      }
    },
    encryptedV(agent, { transportKey, epoch }) {
      const offer = offers.get(agent)
      const { vState, vReleasedTo } = agent.state
      const isFresh = offer !== undefined && clock.monotonic() - offer.at < countsMs
      const isDue = isFresh && vState === 'releasing' && vReleasedTo === offer.fingerprint
      const isItsOwn = !agent.removed && agent.epoch === epoch && offer?.fingerprint === fingerprint(transportKey)
      return isDue && isItsOwn ? offer.encrypted : null
    },
  }
}
