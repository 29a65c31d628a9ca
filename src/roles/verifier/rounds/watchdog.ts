import { isPolled, OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

const PERIOD_MS = 5000
/** Intervals without a verdict, beyond the time of one request, after which an agent is overdue. */
const LATE_AFTER_INTERVALS = 5
const GRACE_MS = 10_000
/** More, for one that was enrolled and not attested yet: the enrolments of others have precedence for so long at most (decision 143). */
const FIRST_MS = 30_000
/** In one look: when all are late, a line for each would hold them up even more. */
const MAX_NAMED = 50

export interface WatchdogOptions {
  agents: AgentTable
  clock: Clock
  logger: Logger
  /** Seconds. */
  quoteInterval: number
}

export interface Watchdog {
  /** That no agent at all is judged any more, although some are due: the loop itself hangs. Null while it goes on, however slowly. */
  stuck(): string | null
  /** How many are overdue now. */
  readonly overdue: number
  stop(): void
}

/** Reports agents that should have been judged and were not (invariant 4): a loop that forgets one must not look like a good one. */
export function startWatchdog({ agents, clock, logger, quoteInterval }: WatchdogOptions): Watchdog {
  const reported = new Set<string>()
  const isAsked = ({ state, retries }: ManagedAgent) => isPolled(state.operational) && retries === 0
  const allowedMs = ({ state: { operational } }: ManagedAgent) =>
    LATE_AFTER_INTERVALS * quoteInterval * 1000 + GRACE_MS + (operational === OPERATIONAL_STATE.START ? FIRST_MS : 0)
  const isLate = (agent: ManagedAgent) => agent.lastJudged < clock.monotonic() - allowedMs(agent)
  const timer = setInterval(() => {
    let named = 0
    let unnamed = 0
    for (const agent of agents.all()) {
      const { agentId } = agent.enrolment
      const overdue = isAsked(agent) && isLate(agent)
      if (!overdue) reported.delete(agentId)
      else if (!reported.has(agentId)) {
        reported.add(agentId)
        if (named++ >= MAX_NAMED) unnamed++
        else
          logger.error(`agent ${agentId} has not been judged in time`, {
            state: agent.state.operational,
            waiting: agent.busy ? 'answer' : 'turn',
          })
      }
    }
    if (unnamed > 0) logger.error(`${unnamed} more agents have not been judged in time`)
  }, PERIOD_MS)
  return {
    stuck() {
      const asked = [...agents.all()].filter(isAsked)
      return asked.length > 0 && asked.every(isLate) ? `none of ${asked.length} machines is judged any more` : null
    },
    get overdue() {
      return reported.size
    },
    stop: () => clearInterval(timer),
  }
}
