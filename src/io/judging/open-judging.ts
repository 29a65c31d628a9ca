import os from 'node:os'
import type { Judging } from '../../core/judging/judging.ts'
import { nativeAddon } from '../native/native-addon.ts'
import type { QueueLimits } from '../workers/job-queue.ts'
import { startWorker } from '../workers/start-worker.ts'
import { createWorkerPool, type PoolStats } from '../workers/worker-pool.ts'
import { createJudging } from './judging.ts'
import type { JudgingJobs } from './judging-jobs.ts'
import type { JudgingRules } from './judging-rules.ts'

export interface OpenJudging {
  rules: JudgingRules
  /** Threads at most; 0 for as many as the machine has processors but one, from 2 to 8. */
  workers: number
  /** Processor time of one judgement: 20,000 files that are signed with P-256, P-384 or P-521 take 2, 14 or 32 seconds. */
  budgetSeconds: number
}

export interface OpenedJudging extends Judging {
  /** How busy the threads are. */
  load(): PoolStats
}

const MIB = 1 << 20
/** Machines wait for their turn and ask again later; an operator sees that it is full; of the public hardly anybody waits. */
const QUEUE: QueueLimits = {
  attestation: { jobs: 10_000, bytes: 128 * MIB },
  operator: { jobs: 100, bytes: 256 * MIB },
  public: { jobs: 2, bytes: 16 * MIB },
}
const MAX_WAIT_MS = 60_000
const IDLE_MS = 30_000
const PATIENCE = 4

/**
 * Judging with worker threads of this executable; none is started before it is needed. What bodies and threads took goes back to the system when
 * they are gone: otherwise a few large requests would raise the memory of the process for good.
 */
export function openJudging({ rules, workers, budgetSeconds }: OpenJudging): OpenedJudging {
  nativeAddon().returnFreedMemory()
  const count = workers > 0 ? workers : Math.min(8, Math.max(2, os.availableParallelism() - 1))
  const pool = createWorkerPool<JudgingJobs>({
    start: startWorker,
    workers: count,
    queue: QUEUE,
    maxWaitMs: MAX_WAIT_MS,
    idleMs: IDLE_MS,
    patience: PATIENCE,
  })
  return { ...createJudging({ pool, rules, budgetSeconds }), load: pool.stats }
}
