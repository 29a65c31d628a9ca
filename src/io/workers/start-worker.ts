import sea from 'node:sea'
import { Worker } from 'node:worker_threads'
import { openAddons } from '../native/load-addon.ts'
import { nativeAddon } from '../native/native-addon.ts'

/**
 * A worker that grows over this is ended alone. Only that: where a *single* allocation finds no room, V8 ends the whole process. So whoever hands a job over
 * bounds the number of values in its input first (`jsonExcess`), and the largest input, copied some times over, stays far below this.
 */
const MAX_OLD_MIB = 2048
/**
 * Young objects of one job: V8 would let them grow to 128 MiB for each worker, and a worker that is full of them ends the whole process and not itself: one of some
 * thirty did without this bound, none of 120 with it.
 */
const MAX_YOUNG_MIB = 24

/**
 * A thread of the same executable that runs `src/worker.ts`: from the assets when packaged, from the file during development. It sees no environment.
 */
export function startWorker(): Worker {
  nativeAddon() // so that its descriptor is known
  const options = {
    name: 'keylime worker',
    workerData: { addons: openAddons() },
    env: {},
    argv: [],
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: MAX_OLD_MIB, maxYoungGenerationSizeMb: MAX_YOUNG_MIB },
  }
  return sea.isSea()
    ? new Worker(sea.getAsset('worker.cjs', 'utf8'), { ...options, eval: true })
    : new Worker(new URL('../../worker.ts', import.meta.url), options)
}
