import type { Worker } from 'node:worker_threads'
import { readErrorMessage } from './error-message.ts'
import type { InputOf, JobTable, JobTerms, OutputOf, Priority } from './job.ts'
import { JobQueue, type QueueLimits } from './job-queue.ts'
import { type NoResult, noResult } from './pool-errors.ts'
import { cpuMilliseconds, type JobMessage, type WorkerMessage } from './serve-jobs.ts'

/** Worker threads for what may take long, bounded in number, in what waits, and in time. */
export interface WorkerPool<J extends JobTable> {
  /** @throws what the job throws, or a KeylimeError `unavailable` whose reason `noResultReason` tells. */
  run<K extends keyof J & string>(name: K, input: InputOf<J, K>, terms: JobTerms): Promise<OutputOf<J, K>>
  stats(): PoolStats
  /** Ends all workers; jobs under way and jobs that wait reject. */
  stop(): Promise<void>
}

export interface PoolStats {
  workers: number
  busy: number
  queued: number
  queuedBytes: number
}

export interface PoolOptions {
  start(): Worker
  /** At most so many at a time, those that are ending included. */
  workers: number
  queue: QueueLimits
  /** How long a job may wait for a worker. */
  maxWaitMs: number
  /** Unused for so long, a worker is ended. */
  idleMs: number
  /** By the clock, a job may take so many times its budget: on a busy machine it gets a part of a processor. */
  patience: number
}

interface Job {
  name: string
  input: unknown
  terms: JobTerms
  resolve(output: unknown): void
  reject(error: Error): void
  waiting: NodeJS.Timeout
}

/** A place for one worker. */
interface Place {
  worker: Worker
  state: 'starting' | 'idle' | 'busy' | 'ending'
  job: Job | null
  /** Of the last job: a worker that is being ended still takes its place. */
  priority: Priority | null
  timer: NodeJS.Timeout | null
  /** Processor time of the worker when its job began. */
  cpuMs: number
}

/** How long a worker may be busy in one call of a library, so that it cannot even say how busy it was: then it was. */
const ANSWER_MS = 2000

/** A job of so much input leaves a thread behind that is not used again. */
const LARGE_BYTES = 8 << 20

/** More than this and the thread cannot be started at all. */
const START_MS = 30_000

/** One place is always left to attestation, and one to an operator who waits, unless there is only one; of what anybody may cause, one job runs at a time. */
export function createWorkerPool<J extends JobTable>(options: PoolOptions): WorkerPool<J> {
  const places = new Set<Place>()
  const queue = new JobQueue<Job>(options.queue)
  let stopping = false

  const running = (is: (priority: Priority) => boolean) => [...places].filter(({ priority }) => priority !== null && is(priority)).length
  function mayStart(priority: Priority): boolean {
    if (options.workers === 1) return true
    // The last place is an operator's who waits for one: machines whose logs take long could keep policies from being changed for ever.
    if (priority === 'attestation') return !queue.has('operator') || running((p) => p === 'attestation') < options.workers - 1
    if (priority === 'public' && running((p) => p === 'public') > 0) return false
    return running((p) => p !== 'attestation') < options.workers - 1
  }

  function dispatch(): void {
    for (;;) {
      const job = stopping ? undefined : queue.first(mayStart)
      if (!job) return
      const all = [...places]
      const idle = all.find(({ state }) => state === 'idle')
      if (idle) {
        begin(idle, job)
        continue
      }
      const starting = all.filter(({ state }) => state === 'starting').length
      if (all.length < options.workers && starting < queue.size) open()
      else return
    }
  }

  function open(): void {
    const worker = options.start()
    const place: Place = { worker, state: 'starting', job: null, priority: null, timer: null, cpuMs: 0 }
    let failure: NoResult | null = null
    places.add(place)
    wait(place, START_MS, () => void worker.terminate())
    worker.on('message', (message: WorkerMessage) => {
      place.cpuMs = message.cpuMs
      if (!('ready' in message)) finish(place, message)
      rest(place)
    })
    worker.on('error', (error: NodeJS.ErrnoException) => {
      failure = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'died'
      const bug = readErrorMessage({ keylime: false, message: error.message, stack: error.stack })
      place.job?.reject(failure === 'memory' ? noResult('memory') : bug)
    })
    worker.on('exit', () => {
      places.delete(place)
      if (place.timer) clearTimeout(place.timer)
      const job = place.job ?? (place.state === 'starting' ? takeFirst() : null) // who cannot start must not be started without end
      job?.reject(noResult(stopping ? 'stopping' : (failure ?? 'died')))
      dispatch()
    })
  }

  function takeFirst(): Job | null {
    const job = queue.first(() => true)
    if (!job) return null
    queue.remove(job)
    clearTimeout(job.waiting)
    return job
  }

  /** A place has one timer: for its start, its job, or its rest. */
  function wait(place: Place, ms: number, then: () => void): void {
    if (place.timer) clearTimeout(place.timer)
    place.timer = setTimeout(then, ms).unref()
  }

  function begin(place: Place, job: Job): void {
    queue.remove(job)
    clearTimeout(job.waiting)
    const { priority, budgetMs, transfer = [] } = job.terms
    Object.assign(place, { state: 'busy', job, priority })
    place.worker.ref()
    wait(place, budgetMs, () => void lookAt(place, job, performance.now() - budgetMs))
    try {
      place.worker.postMessage({ name: job.name, input: job.input } satisfies JobMessage, [...transfer])
    } catch (error) {
      job.reject(error as Error) // it cannot be sent: a bug of the caller
      rest(place)
    }
  }

  /** The budget has passed by the clock: by the processor too? @param begun on the clock. */
  async function lookAt(place: Place, job: Job, begun: number): Promise<void> {
    const { budgetMs } = job.terms
    const used = await cpuSince(place)
    if (place.job !== job || place.state !== 'busy') return
    const left = budgetMs - used
    const patience = begun + options.patience * budgetMs - performance.now()
    if (left > 0 && patience > 0) return wait(place, Math.min(left, patience), () => void lookAt(place, job, begun))
    job.reject(left > 0 ? noResult('slow') : noResult('budget', { seconds: budgetMs / 1000 }))
    void end(place)
  }

  async function cpuSince({ worker, cpuMs }: Place): Promise<number> {
    const used = worker.cpuUsage().then((usage) => cpuMilliseconds(usage) - cpuMs)
    const silent = new Promise<number>((done) => setTimeout(done, ANSWER_MS, Infinity).unref())
    return Promise.race([used, silent]).catch(() => 0) // it has ended by itself
  }

  function finish(place: Place, message: Exclude<WorkerMessage, { ready: true }>): void {
    if (place.state !== 'busy') return // it came too late
    if ('error' in message) place.job?.reject(readErrorMessage(message.error))
    else place.job?.resolve(message.output)
  }

  function rest(place: Place): void {
    if (place.state === 'ending') return
    // Its collector takes its time: many large jobs in a row would leave several times their size behind. A new thread takes a tenth of a second.
    if (place.job && place.job.terms.bytes > LARGE_BYTES) {
      place.job = null
      return void end(place)
    }
    Object.assign(place, { state: 'idle', job: null, priority: null })
    place.worker.unref() // an idle worker keeps no process alive
    wait(place, options.idleMs, () => end(place))
    dispatch()
  }

  function end(place: Place): Promise<unknown> {
    place.state = 'ending'
    return place.worker.terminate()
  }

  return {
    run: (name, input, terms) =>
      new Promise((resolve, reject) => {
        if (stopping) return reject(noResult('stopping'))
        const late = () => queue.remove(job) && reject(noResult('late'))
        const waiting = setTimeout(late, options.maxWaitMs).unref()
        const job: Job = { name, input, terms, resolve: resolve as Job['resolve'], reject, waiting }
        if (queue.add(job)) return dispatch()
        clearTimeout(waiting)
        reject(noResult('full'))
      }),
    stats: () => {
      const busy = [...places].filter(({ state }) => state === 'busy' || state === 'ending').length
      return { workers: places.size, busy, queued: queue.size, queuedBytes: queue.bytes }
    },
    async stop() {
      stopping = true
      for (const job of queue.takeAll()) {
        clearTimeout(job.waiting)
        job.reject(noResult('stopping'))
      }
      await Promise.all([...places].map(end))
    },
  }
}
