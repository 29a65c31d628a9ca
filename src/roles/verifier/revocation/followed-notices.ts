import type { NoticeOutcome } from '../../../core/api/notice.ts'
import type { Clock } from '../../../io/clock.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { Delivery } from './delivery-log.ts'
import { retryAfter } from './machine-queues.ts'
import type { NoticeOutbox } from './notice-outbox.ts'
import { agentIdOf } from './receiver.ts'
import { askOutcome } from './tell-agent.ts'

/** Notices that were taken, and whose actions are still under way: their machines are asked what became of them, as long as actions may take. */
export interface FollowedNotices {
  /** Where many are followed already, what becomes of it stays unknown. */
  follow(delivery: Delivery): void
  /** Its machine said what became of it. */
  cancel(delivery: Delivery): void
  stop(): void
}

export interface FollowedNoticesOptions {
  agents: Pick<AgentTable, 'get'>
  outbox: NoticeOutbox
  clock: Clock
  busy: () => number // see `SchedulerOptions`
  /** Not `waiting`; null for a machine that does not say. */
  onOutcome(delivery: Delivery, outcome: NoticeOutcome | null): void
}

interface Followed {
  delivery: Delivery
  /** Monotonic milliseconds. */
  since: number
  asked: number
}

const FOLLOW_MS = 15 * 60_000
/** Of all machines, and of one: who says for ever that he is at it is asked no more often for that. */
const MAX_FOLLOWED = 10_000
const MAX_OF_ONE = 16

export function createFollowedNotices({ agents, outbox, clock, busy, onOutcome }: FollowedNoticesOptions): FollowedNotices {
  const followed = new Map<Delivery, Followed>()
  const ofOne = new Map<string, number>()
  const scheduler = createScheduler<Followed>({ clock, run, busy })

  async function run(one: Followed): Promise<void> {
    const { delivery, since } = one
    const agent = agents.get(agentIdOf(delivery.target))
    if (!agent || agent.connection === null || clock.monotonic() - since > FOLLOW_MS) return end(one) // one that nobody can call had its time to say it
    const outcome = await askOutcome(agent, delivery.revocation).catch(() => WAITING)
    if (followed.get(delivery) !== one) return
    if (outcome?.outcome === 'waiting') return scheduler.schedule(one, retryAfter(++one.asked + 1))
    end(one)
    onOutcome(delivery, outcome)
  }

  function end({ delivery }: Followed): void {
    if (!followed.delete(delivery)) return
    outbox.drop(agentIdOf(delivery.target), delivery.revocation)
    const left = (ofOne.get(delivery.target) ?? 1) - 1
    if (left > 0) ofOne.set(delivery.target, left)
    else ofOne.delete(delivery.target)
  }

  return {
    follow(delivery) {
      const count = ofOne.get(delivery.target) ?? 0
      if (followed.size >= MAX_FOLLOWED || count >= MAX_OF_ONE) return outbox.drop(agentIdOf(delivery.target), delivery.revocation)
      const one: Followed = { delivery, since: clock.monotonic(), asked: 0 }
      followed.set(delivery, one)
      ofOne.set(delivery.target, count + 1)
      const isCalled = agents.get(agentIdOf(delivery.target))?.connection !== null
      scheduler.schedule(one, isCalled ? retryAfter(1) : FOLLOW_MS)
    },
    cancel(delivery) {
      const one = followed.get(delivery)
      if (one) end(one)
      if (one) scheduler.cancel(one)
    },
    stop: () => scheduler.stop(),
  }
}

const WAITING: NoticeOutcome = { outcome: 'waiting', reason: null }
