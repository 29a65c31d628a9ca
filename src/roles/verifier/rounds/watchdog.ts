import { isPolled } from '../../../core/attestation/operational-state.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentTable } from '../agents/agent-table.ts'

const PERIOD_MS = 5000
/** Intervals without a verdict, beyond the time of one request, after which an agent is overdue. */
const LATE_AFTER_INTERVALS = 5
const GRACE_MS = 10_000

export interface WatchdogOptions {
  agents: AgentTable
  clock: Clock
  logger: Logger
  /** Seconds. */
  quoteInterval: number
}

/** Reports agents that should have been judged and were not (invariant 4): a loop that forgets one must not look like a good one. */
export function startWatchdog({ agents, clock, logger, quoteInterval }: WatchdogOptions): { stop(): void } {
  const reported = new Set<string>()
  const timer = setInterval(() => {
    const late = clock.monotonic() - LATE_AFTER_INTERVALS * quoteInterval * 1000 - GRACE_MS
    for (const agent of agents.all()) {
      const { agentId } = agent.enrolment
      const overdue = isPolled(agent.state.operational) && agent.retries === 0 && agent.lastJudged < late
      if (!overdue) reported.delete(agentId)
      else if (!reported.has(agentId)) {
        reported.add(agentId)
        logger.error(`agent ${agentId} has not been judged in time`, {
          state: agent.state.operational,
          waiting: agent.busy ? 'answer' : 'turn',
        })
      }
    }
  }, PERIOD_MS)
  return { stop: () => clearInterval(timer) }
}
