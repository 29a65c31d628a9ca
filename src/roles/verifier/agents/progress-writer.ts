import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain } from '../../../core/errors.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { ManagedAgent } from './managed-agent.ts'

/** Collects counters and writes them once a second for all agents together. */
export interface ProgressWriter {
  mark(agent: ManagedAgent): void
  flush(): Promise<void>
  stop(): Promise<void>
}

const PERIOD_MS = 1000

export function createProgressWriter(store: VerifierStore, logger: Logger): ProgressWriter {
  const dirty = new Set<ManagedAgent>()
  const writes = createSerialQueue()

  async function write(): Promise<void> {
    const agents = [...dirty].filter((agent) => !agent.removed)
    dirty.clear()
    if (agents.length === 0) return
    try {
      await store.saveProgress(agents.map((agent) => ({ agentId: agent.enrolment.agentId, progress: agent.progress })))
    } catch (error) {
      for (const agent of agents) dirty.add(agent) // tried again in a second
      logger.error(`counters of ${agents.length} agents cannot be written: ${causeChain(error).join(': ')}`)
    }
  }

  const flush = () => writes.run(write)
  const timer = setInterval(flush, PERIOD_MS)
  return {
    mark: (agent) => void dirty.add(agent),
    flush,
    async stop() {
      clearInterval(timer)
      await flush()
    },
  }
}
