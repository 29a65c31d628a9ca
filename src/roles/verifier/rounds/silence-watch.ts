import type { AgentTiming } from '../../../core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { silenceMs } from '../../../core/attestation/push-interval.ts'
import type { Clock } from '../../../io/clock.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AttestationLoop } from './attestation-loop.ts'

const PERIOD_MS = 1000

export interface SilenceOptions {
  agents: AgentTable
  loop: Pick<AttestationLoop, 'take'>
  clock: Clock
  timing: Pick<AgentTiming, 'quoteInterval' | 'maxRetries'>
  /** What went wrong with this machine last, as a sentence; undefined for nothing. */
  troubleOf(agent: ManagedAgent): string | undefined
}

/**
 * A machine that brings its evidence, and has brought none for five intervals, is unreachable: no distrust, and its next good evidence brings it back. One timer for all of them.
 * Time in which the verifier itself stood still is no silence of the machines.
 */
export function startSilenceWatch({ agents, loop, clock, timing, troubleOf }: SilenceOptions): { stop(): void } {
  const allowed = silenceMs(timing.quoteInterval)
  async function fellSilent(agent: ManagedAgent): Promise<void> {
    agent.retries = timing.maxRetries // it is not tried again by anybody: what is said now is the last word of a pull agent
    const trouble = troubleOf(agent)
    const reason = `it brought no evidence for ${allowed / 1000} s${trouble ? `; its last problem: ${trouble}` : ''}`
    const attestedBefore = false // a closed lid is no news for the others: it would be told of to each of them, by each of them
    await loop.take(agent, async () => ({ event: { type: 'unreachable', stage: 'quote', attestedBefore, reason } }))
  }
  let looked = clock.monotonic()
  let judgesFrom = 0
  const timer = setInterval(() => {
    const now = clock.monotonic()
    if (now - looked > 2 * PERIOD_MS) judgesFrom = now + allowed // it was held up itself: nobody could bring anything
    looked = now
    if (now < judgesFrom) return
    const late = now - allowed
    for (const agent of agents.all()) {
      const isWaitedFor =
        agent.connection === null && agent.state.polled && !agent.busy && agent.state.operational !== OPERATIONAL_STATE.FAILED
      if (isWaitedFor && agent.lastJudged < late) void fellSilent(agent)
    }
  }, PERIOD_MS)
  return { stop: () => clearInterval(timer) }
}
