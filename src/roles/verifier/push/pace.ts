import { TokenBucket } from '../../../core/concurrency/token-bucket.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { Attestation } from './attestations.ts'

/** How often machines may begin an attestation. */
export interface Pace {
  /** Seconds until this machine may begin one; 0 when it may now. @param isEarly it may come before its interval: it was woken, or says that something changed. */
  left(last: Attestation | undefined, isEarly: boolean): number
  /** It begins one. @returns the seconds until it may, where it began too many; 0 otherwise. */
  begin(agent: ManagedAgent): number
}

/** Of one machine, whatever it says: what it begins costs the verifier a challenge, and judging. */
const BURST = 4
const SHORTEST_SECONDS = 0.5
/** Of intervals that are shorter than that. */
const INTERVALS_A_BEGIN = 0.5
const MOST_PER_SECOND = 100

/** @param interval seconds between two good attestations. What was not good may be tried again after a second. */
export function createPace(clock: Clock, interval: number): Pace {
  const buckets = new WeakMap<ManagedAgent, TokenBucket>()
  const perSecond = Math.min(1 / Math.min(SHORTEST_SECONDS, interval * INTERVALS_A_BEGIN), MOST_PER_SECOND)
  return {
    left(last, isEarly) {
      if (!last?.received || isEarly) return 0
      const seconds = last.evaluation === 'pass' ? interval : Math.min(1, interval)
      return Math.max(0, seconds - (clock.monotonic() - last.received.monotonic) / 1000)
    },
    begin(agent) {
      const bucket = buckets.get(agent) ?? new TokenBucket({ perSecond, burst: BURST })
      buckets.set(agent, bucket)
      return bucket.take(clock.monotonic())
    },
  }
}
