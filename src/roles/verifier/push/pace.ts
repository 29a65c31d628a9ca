import { TokenBucket } from '../../../core/concurrency/token-bucket.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { Attestation } from './attestations.ts'

/** What a machine asks for. */
export type Asked = 'attestation' | 'mailbox' | 'news'

/** How often machines may ask. */
export interface Pace {
  /** Seconds until this machine may begin one; 0 when it may now. @param isEarly it may come before its interval: it was woken, or says that something changed. */
  left(last: Attestation | undefined, isEarly: boolean): number
  /** It asks. @returns the seconds until it may, where it asked too often; 0 otherwise. */
  take(agent: ManagedAgent, asked: Asked): number
}

/** Of one machine, whatever it says: a challenge and judging, reading a mailbox, looking for news. `perBegin`: so often as it may begin an attestation. */
const LIMITS: Record<Asked, { burst: number; perBegin: number }> = {
  attestation: { burst: 4, perBegin: 1 },
  mailbox: { burst: 4, perBegin: 1 },
  news: { burst: 16, perBegin: 2 },
}
const SHORTEST_SECONDS = 0.5
/** Of intervals that are shorter than that. */
const INTERVALS_A_BEGIN = 0.5
const MOST_PER_SECOND = 100

/** @param interval seconds between two good attestations. What was not good may be tried again after a second. */
export function createPace(clock: Clock, interval: number): Pace {
  const buckets = new WeakMap<ManagedAgent, Partial<Record<Asked, TokenBucket>>>()
  const perSecond = Math.min(1 / Math.min(SHORTEST_SECONDS, interval * INTERVALS_A_BEGIN), MOST_PER_SECOND)
  return {
    left(last, isEarly) {
      if (!last?.received || isEarly) return 0
      const seconds = last.evaluation === 'pass' ? interval : Math.min(1, interval)
      return Math.max(0, seconds - (clock.monotonic() - last.received.monotonic) / 1000)
    },
    take(agent, asked) {
      const mine = buckets.get(agent) ?? {}
      buckets.set(agent, mine)
      const { burst, perBegin } = LIMITS[asked]
      mine[asked] ??= new TokenBucket({ perSecond: perSecond * perBegin, burst })
      return mine[asked].take(clock.monotonic())
    },
  }
}
