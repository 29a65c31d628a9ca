import type { ManagedAgent } from '../agents/managed-agent.ts'

/** Requests of machines that wait for what the verifier is about to know: one a machine, each for a bounded time. */
export interface HeldRequests {
  /** Resolves when the machine is woken, the time is over, or the machine asks again: whoever waited looks anew. */
  hold(agent: ManagedAgent, milliseconds: number): Promise<void>
  wake(agent: ManagedAgent): void
  /** Wakes all, and holds none any more. */
  stop(): void
}

export function createHeldRequests(): HeldRequests {
  const held = new Map<ManagedAgent, () => void>()
  let stopping = false
  const wake = (agent: ManagedAgent) => held.get(agent)?.()
  return {
    hold(agent, milliseconds) {
      wake(agent)
      if (stopping) return Promise.resolve()
      return new Promise((resolve) => {
        const end = () => {
          clearTimeout(timer)
          held.delete(agent)
          resolve()
        }
        const timer = setTimeout(end, milliseconds)
        held.set(agent, end)
      })
    },
    wake,
    stop() {
      stopping = true
      for (const end of [...held.values()]) end()
    },
  }
}
