import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { causeChain, KeylimeError } from '../../../../src/core/errors.ts'
import type { JobTerms, Priority } from '../../../../src/io/workers/job.ts'
import { movable } from '../../../../src/io/workers/job.ts'
import { noResultReason } from '../../../../src/io/workers/pool-errors.ts'
import { createWorkerPool, type PoolOptions, type WorkerPool } from '../../../../src/io/workers/worker-pool.ts'
import { until } from '../../../servers.ts'
import { walk } from '../../../thorough.ts'
import type { HostileJobs } from './hostile-jobs.ts'

const room = { jobs: 100, bytes: 1 << 20 }
const start = () =>
  new Worker(new URL('./hostile-jobs.ts', import.meta.url), {
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 24 }, // the second as in start-worker.ts: without it V8 ends the process
  })
let pool: WorkerPool<HostileJobs>
function open(changes: Partial<PoolOptions> = {}): WorkerPool<HostileJobs> {
  const queue = { attestation: room, operator: room, public: room }
  pool = createWorkerPool<HostileJobs>({ start, workers: 2, queue, maxWaitMs: 60_000, idleMs: 60_000, patience: 100, ...changes })
  return pool
}
afterEach(() => pool.stop())

const terms = (changes: Partial<JobTerms> = {}): JobTerms => ({ priority: 'attestation', budgetMs: 60_000, bytes: 0, ...changes })
const reasonOf = (promise: Promise<unknown>) => promise.then(String, (error) => noResultReason(error) ?? error)

test('a job runs in another thread, which the next one uses again', async () => {
  open({ workers: 1 })
  const [one, two] = [await pool.run('thread', undefined as never, terms()), await pool.run('thread', undefined as never, terms())]
  expect(one).toBeGreaterThan(0)
  expect(two).toBe(one)
})

test('after a job of many megabytes its thread is not used again: it would keep several times their size', async () => {
  open({ workers: 1, queue: { attestation: { jobs: 10, bytes: 1 << 30 }, operator: room, public: room } })
  const large = terms({ bytes: 9 << 20 })
  const one = await pool.run('thread', undefined as never, large)
  expect(await pool.run('thread', undefined as never, large)).not.toBe(one)
})

test('memory is handed over to the worker and back', async () => {
  open()
  const { bytes, memory } = movable(Uint8Array.from([1, 2, 3]))
  expect([...(await pool.run('reverse', bytes, terms({ transfer: [memory] })))]).toEqual([3, 2, 1])
  expect(memory.byteLength).toBe(0)
})
test('of a Buffer that shares its memory a copy is handed over', () => {
  const small = Buffer.from('abc')
  expect(small.buffer.byteLength).toBeGreaterThan(3)
  expect(movable(small).memory).not.toBe(small.buffer)
  expect(Buffer.from(movable(small).bytes).toString()).toBe('abc')
  const shared = new Uint8Array(new SharedArrayBuffer(3))
  expect(movable(shared).memory).toBeInstanceOf(ArrayBuffer)
})

test('a job over its budget is ended, and the next ones run in a new worker', async () => {
  open({ workers: 1 })
  const before = await pool.run('thread', undefined as never, terms())
  expect(await reasonOf(pool.run('forever', undefined as never, terms({ budgetMs: 200 })))).toBe('budget')
  const after = await pool.run('thread', undefined as never, terms())
  expect(after).not.toBe(before)
})
test('time in the queue is no part of the budget', async () => {
  open({ workers: 1 })
  const first = pool.run('sleep', 400, terms())
  expect(await pool.run('sleep', 1, terms({ budgetMs: 300 }))).toBe(1)
  expect(await first).toBe(400)
})

test.each([
  ['memory', 'memory'],
  ['exit', 'died'],
] as const)('a worker that dies (%s) takes only its own job with it', async (job, reason) => {
  open()
  const other = pool.run('sleep', 500, terms())
  expect(await reasonOf(pool.run(job, undefined as never, terms()))).toBe(reason)
  expect(await other).toBe(500)
  expect(await pool.run('echo', 'again', terms())).toBe('again')
})
test('what is thrown outside of the job is a bug', async () => {
  open()
  const error = await reasonOf(pool.run('later', undefined as never, terms()))
  expect(error).toMatchObject({ message: 'in a worker: thrown later', stack: expect.stringContaining('hostile-jobs.ts') })
})

test('an error of ours arrives as what it is, anything else as a bug with its stack', async () => {
  open()
  const error = await pool.run('refuse', undefined as never, terms()).catch((e) => e)
  expect(error).toBeInstanceOf(KeylimeError)
  expect(error).toMatchObject({ code: 'policy_not_found', message: 'there is none', hint: 'make one', details: { name: 'fleet' } })
  expect(causeChain(error)).toEqual(['there is none', 'outer cause', 'inner cause'])
  const bug = await pool.run('bug', undefined as never, terms()).catch((e) => e)
  expect(bug).not.toBeInstanceOf(KeylimeError)
  expect(bug).toMatchObject({ message: 'in a worker: a bug', stack: expect.stringContaining('hostile-jobs.ts') })
})
test('what cannot be sent rejects, in both directions, and the worker goes on', async () => {
  open({ workers: 1 })
  await expect(pool.run('echo', () => {}, terms())).rejects.toThrow(/could not be cloned/)
  await expect(pool.run('function', undefined as never, terms())).rejects.toThrow(/could not be cloned/)
  expect(await pool.run('echo', 1, terms())).toBe(1)
})

test('attestation goes first, then the operator, then the public', async () => {
  open({ workers: 1 })
  const order: string[] = []
  const run = (priority: Priority) => pool.run('sleep', 5, terms({ priority })).then(() => order.push(priority))
  await Promise.all([run('public'), run('public'), run('operator'), run('attestation'), run('operator'), run('attestation')])
  expect(order).toEqual(['attestation', 'attestation', 'operator', 'operator', 'public', 'public'])
})
walk('of public jobs one runs at a time, and one place stays for attestation', async () => {
  open({ workers: 3 })
  const jobs = (['public', 'public', 'operator', 'operator'] as const).map((priority) => pool.run('sleep', 1500, terms({ priority })))
  await until('two run', () => pool.stats().busy === 2)
  expect(await pool.run('echo', 'at once', terms())).toBe('at once')
  expect(pool.stats()).toMatchObject({ busy: 2, queued: 2 })
  await Promise.all(jobs)
})

test('a full queue refuses, by number and by size, of each priority for itself', async () => {
  open({ workers: 1, queue: { attestation: { jobs: 2, bytes: 100 }, operator: room, public: room } })
  await pool.run('echo', 0, terms())
  const running = pool.run('sleep', 700, terms())
  const large = pool.run('echo', 1, terms({ bytes: 1000 }))
  expect(await reasonOf(pool.run('echo', 2, terms({ bytes: 1 })))).toBe('full')
  const operator = pool.run('echo', 3, terms({ priority: 'operator', bytes: 1 }))
  expect(await Promise.all([running, large, operator])).toEqual([700, 1, 3])
  const again = [pool.run('sleep', 300, terms()), pool.run('echo', 1, terms()), pool.run('echo', 2, terms())]
  expect(await reasonOf(pool.run('echo', 3, terms()))).toBe('full')
  await Promise.all(again)
})
test('what waits too long is refused', async () => {
  open({ workers: 1, maxWaitMs: 200 })
  await until('a worker is there', () =>
    pool.run('echo', 0, terms()).then(
      () => true,
      () => false,
    ),
  ) // the thread may take longer to start
  const running = pool.run('sleep', 800, terms())
  expect(await reasonOf(pool.run('echo', 1, terms()))).toBe('late')
  expect(await running).toBe(800)
})

test('idle workers are ended, and started again when there is work', async () => {
  open({ idleMs: 100 })
  expect(pool.stats().workers).toBe(0)
  await pool.run('echo', 1, terms())
  await until('it is ended', () => pool.stats().workers === 0)
  expect(await pool.run('echo', 2, terms())).toBe(2)
})
test('a worker that cannot start rejects one job after another, and is not started without end', async () => {
  let started = 0
  const failing = () => {
    started++
    return new Worker('throw new Error("no")', { eval: true })
  }
  open({ start: failing })
  const errors = await Promise.all([1, 2, 3].map((n) => reasonOf(pool.run('echo', n, terms()))))
  expect(errors).toEqual(['died', 'died', 'died'])
  expect(started).toBeLessThanOrEqual(4)
})
test('stop ends what runs and what waits', async () => {
  open({ workers: 1 })
  const all = [pool.run('forever', undefined as never, terms()), pool.run('echo', 1, terms())]
  const reasons = Promise.all(all.map(reasonOf))
  await until('it runs', () => pool.stats().busy === 1)
  await pool.stop()
  expect(await reasons).toEqual(['stopping', 'stopping'])
  expect(pool.stats().workers).toBe(0)
  expect(await reasonOf(pool.run('echo', 1, terms()))).toBe('stopping')
})
walk('the budget is time of the processor, and a job that gets none is not blamed for it', async () => {
  open({ workers: 1, patience: 4 })
  expect(await pool.run('sleep', 1500, terms({ budgetMs: 1000 }))).toBe(1500)
  expect(await reasonOf(pool.run('sleep', 60_000, terms({ budgetMs: 300 })))).toBe('slow')
  expect(await pool.run('echo', 1, terms())).toBe(1)
})

test('machines whose logs take long, one after the other, do not keep an operator waiting', async () => {
  open({ workers: 2 })
  let isOver = false
  const machine = async () => {
    while (!isOver) await pool.run('sleep', 100, terms())
  }
  const machines = [machine(), machine(), machine(), machine()]
  const started = performance.now()
  const operator = Array.from({ length: 5 }, () => pool.run('sleep', 10, terms({ priority: 'operator' })))
  await Promise.race([Promise.all(operator), sleep(4000)])
  isOver = true
  expect(performance.now() - started).toBeLessThan(3500)
  await Promise.all(machines)
})
