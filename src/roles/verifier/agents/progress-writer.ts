import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain } from '../../../core/errors.ts'
import type { Clock } from '../../../io/clock.ts'
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
/** Between two words of the same trouble. */
const AGAIN_MS = 60_000

export interface ProgressWriterOptions {
  store: Pick<VerifierStore, 'saveProgress'>
  clock: Pick<Clock, 'monotonic'>
  logger: Logger
}

export function createProgressWriter({ store, clock, logger }: ProgressWriterOptions): ProgressWriter {
  const dirty = new Set<ManagedAgent>()
  const writes = createSerialQueue()
  /** When it was last told that nothing can be written; null while it can. */
  let told: number | null = null

  async function write(): Promise<void> {
    const agents = [...dirty].filter((agent) => !agent.removed)
    dirty.clear()
    if (agents.length === 0) return
    try {
      await store.saveProgress(agents.map((agent) => ({ agentId: agent.enrolment.agentId, progress: agent.progress })))
      told = null
    } catch (error) {
      for (const agent of agents) dirty.add(agent) // tried again in a second
      tell(agents.length, error)
    }
  }

  function tell(count: number, error: unknown): void {
    const now = clock.monotonic()
    if (told !== null && now - told < AGAIN_MS) return
    told = now
    const whose = `${count} ${count === 1 ? 'agent' : 'agents'}`
    logger.error(`counters of ${whose} cannot be written now, and attestation goes on: ${causeChain(error).join(': ')}`)
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
