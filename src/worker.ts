// Runs as a worker thread of the executable (io/workers/start-worker.ts): judges what would hold up the main thread.
import { workerData } from 'node:worker_threads'
import { judgingJobs } from './io/judging/judging-jobs.ts'
import { memoryOf } from './io/judging/memory-of.ts'
import { adoptAddons } from './io/native/load-addon.ts'
import { serveJobs } from './io/workers/serve-jobs.ts'

adoptAddons(workerData.addons)
serveJobs(judgingJobs(), memoryOf)
