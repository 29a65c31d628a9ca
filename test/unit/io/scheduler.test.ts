import { jest } from '@jest/globals'
import fc from 'fast-check'
import { createScheduler, type Scheduler } from '../../../src/io/scheduler.ts'
import { type SimulatedTime, simulatedTime } from '../../simulated-time.ts'

const TICK = 20
let time: SimulatedTime
let scheduler: Scheduler<string>
beforeEach(() => {
  time = simulatedTime()
})
afterEach(() => {
  scheduler.stop()
  jest.useRealTimers()
})

/** A scheduler whose items are done at once, and what it ran, with the time. */
function instant(maxStarting = 128) {
  const ran: { item: string; at: number }[] = []
  scheduler = createScheduler<string>({
    clock: time.clock,
    maxStarting,
    run: async (item) => void ran.push({ item, at: time.clock.monotonic() }),
  })
  return { ran, items: () => ran.map(({ item }) => item) }
}

/** A scheduler whose items run until the test finishes them. */
function lasting(maxStarting: number) {
  const running = new Map<string, () => void>()
  const started: string[] = []
  scheduler = createScheduler<string>({
    clock: time.clock,
    maxStarting,
    run: (item) => {
      started.push(item)
      return new Promise<void>((resolve) => running.set(item, resolve))
    },
  })
  const finish = (item: string) => {
    running.get(item)!()
    return time.settle()
  }
  return { started, finish }
}

test('items run in the order of their times, none before its time, each within a tick of it', async () => {
  const { ran } = instant()
  scheduler.schedule('c', 300)
  scheduler.schedule('a', 100)
  scheduler.schedule('b', 200)
  await time.pass(99)
  expect(ran).toEqual([])
  await time.pass(300)
  expect(ran.map(({ item }) => item)).toEqual(['a', 'b', 'c'])
  for (const [i, { at }] of ran.entries()) {
    expect(at).toBeGreaterThanOrEqual((i + 1) * 100)
    expect(at).toBeLessThan((i + 1) * 100 + TICK)
  }
})

test('items of the same time all run, in the same tick', async () => {
  const { ran, items } = instant()
  for (const item of ['a', 'b', 'c', 'd', 'e']) scheduler.schedule(item, 100)
  await time.pass(100 + TICK)
  expect(items().toSorted()).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(new Set(ran.map(({ at }) => at)).size).toBe(1)
})

test.each([0, -5])('an item that is due in %d ms runs at once, without waiting for a tick', async (afterMs) => {
  const { items } = instant()
  scheduler.schedule('now', afterMs)
  expect(items()).toEqual([]) // not inside of the call
  await time.settle()
  expect(items()).toEqual(['now'])
})

test('a cancelled item does not run; cancelling what is not there changes nothing', async () => {
  const { items } = instant()
  scheduler.schedule('gone', 50)
  scheduler.schedule('stays', 50)
  scheduler.cancel('gone')
  scheduler.cancel('unknown')
  expect(scheduler.waiting).toBe(1)
  await time.pass(100)
  expect(items()).toEqual(['stays'])
  expect(scheduler.waiting).toBe(0)
})

test('an item has one time: the last that it was given, earlier or later', async () => {
  const { ran } = instant()
  scheduler.schedule('sooner', 1000)
  scheduler.schedule('sooner', 100)
  scheduler.schedule('later', 100)
  scheduler.schedule('later', 1000)
  scheduler.schedule('again', 100)
  scheduler.cancel('again')
  scheduler.schedule('again', 500)
  expect(scheduler.waiting).toBe(3)
  await time.pass(2000)
  expect(ran).toEqual([
    { item: 'sooner', at: 100 },
    { item: 'again', at: 500 },
    { item: 'later', at: 1000 },
  ])
})

test('no more items start at once than there are places; the others wait and are counted', async () => {
  const { started, finish } = lasting(2)
  for (const item of ['a', 'b', 'c', 'd', 'e']) scheduler.schedule(item, 0)
  await time.settle()
  expect(started).toHaveLength(2)
  expect(scheduler.waiting).toBe(3)
  await finish(started[0]!)
  expect(started).toHaveLength(3)
  await finish(started[2]!)
  await finish(started[1]!)
  expect(started).toHaveLength(5)
  expect(scheduler.waiting).toBe(0)
})

test.each([
  [0, 50],
  [0.5, 50],
  [0.7, 275],
  [1, 500],
])('at a share of %d of a busy event loop, an item that hangs gives its place away after %d ms', async (share, heldMs) => {
  const started: string[] = []
  scheduler = createScheduler<string>({
    ...{ clock: time.clock, maxStarting: 1, busy: () => share },
    run: (item) => new Promise<void>(() => void started.push(item)),
  })
  for (const item of ['a', 'b']) scheduler.schedule(item, 0)
  await time.pass(heldMs)
  expect(started).toEqual(['a'])
  await time.pass(2 * TICK)
  expect(started).toEqual(['a', 'b'])
})

test('while the event loop has no time left, fewer begin at once where that is wanted, and give their places away sooner', async () => {
  const started: string[] = []
  const lates: number[] = []
  let share = 1
  scheduler = createScheduler<string>({
    ...{ clock: time.clock, maxStarting: 4, busy: () => share },
    maxStartingFull(lateMs) {
      lates.push(lateMs)
      return 1
    },
    run: (item) => new Promise<void>(() => void started.push(item)),
  })
  for (const item of ['a', 'b', 'c', 'd', 'e', 'f']) scheduler.schedule(item, 0)
  await time.settle()
  expect(started).toHaveLength(1)
  await time.pass(2 * TICK)
  expect(started).toHaveLength(2)
  expect(Math.max(...lates)).toBe(2 * TICK)
  share = 0.89
  await time.pass(TICK)
  expect(started).toHaveLength(5)
})

test('an item that hangs gives its place away after 500 ms, and not twice when it ends after all', async () => {
  const { started, finish } = lasting(1)
  scheduler.schedule('hangs', 0)
  await time.settle()
  for (const item of ['second', 'third']) scheduler.schedule(item, 1)
  await time.pass(500)
  expect(started).toEqual(['hangs'])
  await time.pass(TICK)
  expect(started).toHaveLength(2)
  await finish('hangs')
  await time.pass(TICK)
  expect(started).toHaveLength(2) // the second still has the one place
  await finish(started[1]!)
  expect(started).toHaveLength(3)
})

test('an item may schedule itself and others while it runs', async () => {
  const times: number[] = []
  scheduler = createScheduler<string>({
    clock: time.clock,
    maxStarting: 1,
    run: async (item) => {
      times.push(time.clock.monotonic())
      if (times.length < 4) scheduler.schedule(item, times.length === 2 ? 0 : 100)
    },
  })
  scheduler.schedule('self', 0)
  await time.settle()
  await time.pass(500)
  expect(times).toEqual([0, 100, 100, 200])
})

test('after the event loop was held up, all that became due runs in the order of its times', async () => {
  const { items } = instant()
  for (const [item, afterMs] of [
    ['third', 3000],
    ['first', 1000],
    ['second', 2000],
  ] as const)
    scheduler.schedule(item, afterMs)
  time.leap(10_000)
  await time.pass(TICK)
  expect(items()).toEqual(['first', 'second', 'third'])
})

test('those that are due next are hastened: so many as are wanted, only those that may be, each once', async () => {
  const { items, ran } = instant()
  for (const [i, item] of ['cancelled', 'a', 'not-b', 'c', 'd'].entries()) scheduler.schedule(item, 1000 + i)
  scheduler.cancel('cancelled')
  scheduler.hasten(2, (item) => !item.startsWith('not'))
  await time.settle()
  expect(items()).toEqual(['a', 'c'])
  await time.pass(1100)
  expect(ran.slice(2).map(({ item }) => item)).toEqual(['not-b', 'd'])
  expect(Math.min(...ran.slice(2).map(({ at }) => at))).toBeGreaterThanOrEqual(1000)
})

test('nobody is hastened while others that are due wait for a place', async () => {
  const { started, finish } = lasting(1)
  for (const item of ['runs', 'waits']) scheduler.schedule(item, 0)
  scheduler.schedule('later', 10_000)
  await time.settle()
  scheduler.hasten(2, () => true)
  await finish('runs')
  await finish('waits')
  expect(started).toEqual(['runs', 'waits'])
  expect(scheduler.waiting).toBe(1)
})

test('among many that may not be hastened, few are looked at', async () => {
  const { items } = instant()
  for (let i = 0; i < 100; i++) scheduler.schedule(`${i}`, 1000 + i)
  let looked = 0
  scheduler.hasten(2, () => ++looked === 0)
  await time.settle()
  expect(looked).toBe(8)
  expect(items()).toEqual([])
  await time.pass(1200)
  expect(items()).toHaveLength(100)
})

test('a stopped scheduler starts nothing more', async () => {
  const { started, finish } = lasting(1)
  scheduler.schedule('running', 0)
  scheduler.schedule('due', 0)
  scheduler.schedule('later', 100)
  await time.settle()
  scheduler.stop()
  await finish('running')
  await time.pass(1000)
  expect(started).toEqual(['running'])
})

test('a thousand items, scheduled, scheduled anew and cancelled at random, run once each in the order of their last times', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ item: fc.nat(999), afterMs: fc.integer({ min: 1, max: 100_000 }), cancel: fc.boolean() }), {
        minLength: 1000,
        maxLength: 2000,
        size: 'max',
      }),
      async (steps) => {
        const { ran, items } = instant(10_000)
        const last = new Map<string, number>()
        for (const { item, afterMs, cancel } of steps) {
          scheduler.schedule(`${item}`, afterMs)
          last.set(`${item}`, time.clock.monotonic() + afterMs)
          if (!cancel) continue
          scheduler.cancel(`${item}`)
          last.delete(`${item}`)
        }
        expect(scheduler.waiting).toBe(last.size)
        time.leap(100_000)
        await time.pass(TICK)
        expect(items().toSorted()).toEqual([...last.keys()].toSorted())
        const due = ran.map(({ item }) => last.get(item)!)
        expect(due).toEqual(due.toSorted((a, b) => a - b))
        scheduler.stop()
      },
    ),
    { numRuns: 20 },
  )
})

test('how late the first is that is due, and how late each begins', async () => {
  const late: number[] = []
  let end = () => {}
  scheduler = createScheduler<string>({
    clock: time.clock,
    maxStarting: 1,
    run: (_item, lateMs) => {
      late.push(lateMs)
      return new Promise<void>((done) => {
        end = done
      })
    },
  })
  expect(scheduler.lateMs()).toBe(0)
  scheduler.schedule('first', 20)
  scheduler.schedule('cancelled', 30)
  scheduler.schedule('second', 40)
  await time.pass(20)
  scheduler.cancel('cancelled')
  expect(scheduler.lateMs()).toBe(0)
  await time.pass(120)
  expect(scheduler.lateMs()).toBe(100) // the second; nobody waits for what was cancelled
  end()
  await time.settle()
  expect(late).toEqual([0, 100])
  expect(scheduler.lateMs()).toBe(0)
})

test('when more is due than can be done, every interval grows by the same, and nobody is left out', async () => {
  const INTERVAL = 100
  const begun = new Map<string, number[]>()
  scheduler = createScheduler<string>({
    clock: time.clock,
    maxStarting: 2,
    run: async (item) => {
      begun.set(item, [...(begun.get(item) ?? []), time.clock.monotonic()])
      await new Promise((done) => setTimeout(done, 20))
      scheduler.schedule(item, INTERVAL)
    },
  })
  for (let i = 0; i < 40; i++) scheduler.schedule(`${i}`, (i * INTERVAL) / 40) // 400 a second, of which 100 can be done
  await time.pass(4000)
  const gaps = [...begun.values()].flatMap((at) => at.slice(2).map((t, i) => t - at[i + 1]!))
  expect(begun.size).toBe(40)
  expect(Math.min(...gaps)).toBeGreaterThan(3 * INTERVAL)
  expect(Math.max(...gaps)).toBeLessThan(1.3 * Math.min(...gaps))
})
