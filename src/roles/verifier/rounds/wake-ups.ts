import type { AttestNow } from '../../../core/api/attest-now.ts'
import type { Clock } from '../../../io/clock.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AttestationLoop } from './attestation-loop.ts'

/** Has machines attested before their time, whichever way they come. */
export interface WakeUps {
  /** At once. @param why as a sentence, for the machine's log. */
  one(agent: ManagedAgent, why: string): AttestNow['told']
  /** Those that bring their evidence, spread over an interval at most: they do not all come together. The others are asked soon enough. */
  many(agents: readonly ManagedAgent[], why: string): void
  stop(): void
}

export interface WakeUpOptions {
  loop: Pick<AttestationLoop, 'hurry'>
  /** Tells a machine that brings its evidence. @returns whether it has heard. */
  wake(agent: ManagedAgent, why: string): boolean
  clock: Clock
  /** Seconds. */
  quoteInterval: number
}

/** Between two of many. */
const SPREAD_MS = 5

export function createWakeUps({ loop, wake, clock, quoteInterval }: WakeUpOptions): WakeUps {
  const reasons = new WeakMap<ManagedAgent, string>()
  const later = createScheduler<ManagedAgent>({
    clock,
    async run(agent) {
      if (!agent.removed) wake(agent, reasons.get(agent) ?? '')
    },
  })
  return {
    one(agent, why) {
      if (agent.connection === null) return wake(agent, why) ? 'woken' : 'later'
      loop.hurry(agent)
      return 'asked'
    },
    many(agents, why) {
      const comers = agents.filter(({ connection, state }) => connection === null && state.polled)
      const spreadMs = Math.min(comers.length * SPREAD_MS, Math.max(1, quoteInterval) * 1000)
      for (const [i, agent] of comers.entries()) {
        reasons.set(agent, why)
        later.schedule(agent, (i / comers.length) * spreadMs)
      }
    },
    stop: later.stop,
  }
}
