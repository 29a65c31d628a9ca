import { isPolled } from '../../core/attestation/operational-state.ts'
import type { VerifierContext } from './verifier-context.ts'

const PERIOD_MS = 5000
/** Intervals without a verdict, beyond the time of one request, after which an agent is overdue. */
const LATE_AFTER_INTERVALS = 5
const GRACE_MS = 10_000

/** Reports agents that should have been judged and were not (design invariant 4): a loop that forgets one must not look like a good one. */
export function startWatchdog(context: VerifierContext): { stop(): void } {
  const reported = new Set<string>()
  const timer = setInterval(() => {
    const late = context.clock.monotonic() - LATE_AFTER_INTERVALS * context.settings.quoteInterval * 1000 - GRACE_MS
    for (const agent of context.agents.all()) {
      const { agentId } = agent.enrolment
      const overdue = isPolled(agent.state.operational) && agent.retries === 0 && agent.lastJudged < late
      if (!overdue) reported.delete(agentId)
      else if (!reported.has(agentId)) {
        reported.add(agentId)
        context.logger.error(`agent ${agentId} has not been judged in time`, {
          state: agent.state.operational,
          waiting: agent.busy ? 'answer' : 'turn',
        })
      }
    }
  }, PERIOD_MS)
  return { stop: () => clearInterval(timer) }
}
