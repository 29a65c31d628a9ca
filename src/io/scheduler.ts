import type { Clock } from './clock.ts'

/** Runs each item when it is due. One clock tick for all of them: no timer an agent (decision 1). */
export interface Scheduler<T> {
  /** (Re)schedules; an item has one due time. A due time in the past runs at once. */
  schedule(item: T, afterMs: number): void
  cancel(item: T): void
  /** Those that are due next are due now: at most so many, of those that may be. None, while others that are due wait for a place. */
  hasten(count: number, may: (item: T) => boolean): void
  /** Items that wait for their time or for a free place. */
  readonly waiting: number
  /** For how long the item has been due that has waited longest; 0 when none is. The first that was due is the first that runs, so nobody waits much longer than others. */
  lateMs(): number
  stop(): void
}

export interface SchedulerOptions<T> {
  clock: Clock
  /** Must not throw. @param lateMs since it was due. */
  run(item: T, lateMs: number): Promise<void>
  /** How many may be in their first phase at once; the rest wait. */
  maxStarting?: number
  /** The same while the event loop has no time left: fewer keep it as busy, in shorter turns. They give their places away sooner, so that who hangs keeps nobody waiting. Default: no fewer. @param lateMs as below. */
  maxStartingFull?(lateMs: number): number
  /** The share of the last moment in which the event loop had something to do, 0 to 1: who only waits gives its place away sooner. Default: 1. */
  busy?(): number
  /** Asked before one begins; where it may not, it is looked at again a tick later. Default: each may. @param lateMs of the one that has waited longest. */
  mayBegin?(lateMs: number): boolean
}

const TICK_MS = 20
/** An item that takes longer gives its place away: a thousand machines that hang hold up nobody. */
const STARTING_MS = 500
/** The same where fewer may begin at once, as there is no time left. */
const FULL_STARTING_MS = 30
/** The same while there is time to begin more, and from which share of a busy event loop on there is less, and none. */
const IDLE_STARTING_MS = 50
const [BUSY, FULL] = [0.5, 0.9]
const MAX_STARTING = 128
/** So many are looked at for each that is hastened. */
const LOOKED_AT = 4

const ALWAYS = () => 1

interface Entry<T> {
  due: number
  item: T
}

export function createScheduler<T>(options: SchedulerOptions<T>): Scheduler<T> {
  const { clock, run, maxStarting = MAX_STARTING, maxStartingFull, busy = ALWAYS, mayBegin } = options
  const heap: Entry<T>[] = []
  const current = new Map<T, Entry<T>>()
  const starting: { since: number; open: boolean }[] = []
  let places = maxStarting
  let stopped = false
  let pumping = false

  function pump(): void {
    if (pumping || stopped) return
    pumping = true
    const now = clock.monotonic()
    const kept = maxStartingFull && busy() >= FULL ? maxStarting - maxStartingFull(lateMs()) : 0
    while (places > kept && heap.length > 0 && heap[0]!.due <= now) {
      const entry = pop(heap)
      if (current.get(entry.item) !== entry) continue // rescheduled or cancelled meanwhile
      if (mayBegin && !mayBegin(now - entry.due)) {
        push(heap, entry)
        break
      }
      current.delete(entry.item)
      start(entry, now)
    }
    pumping = false
  }

  /** How long an item may keep its place. */
  function startingMs(): number {
    const share = busy()
    if (maxStartingFull && share >= FULL) return FULL_STARTING_MS
    return IDLE_STARTING_MS + (STARTING_MS - IDLE_STARTING_MS) * Math.min(1, Math.max(0, (share - BUSY) / (FULL - BUSY)))
  }

  function start({ item, due }: Entry<T>, now: number): void {
    const place = { since: now, open: true }
    const release = () => {
      if (place.open) places++
      place.open = false
    }
    places--
    starting.push(place)
    void run(item, now - due).finally(() => {
      release()
      queueMicrotask(pump)
    })
  }

  /** What is due next; undefined for nothing. */
  function next(): Entry<T> | undefined {
    while (heap.length > 0 && current.get(heap[0]!.item) !== heap[0]) pop(heap) // rescheduled or cancelled meanwhile
    return heap[0]
  }

  function lateMs(): number {
    const entry = next()
    return entry ? Math.max(0, clock.monotonic() - entry.due) : 0
  }

  const tick = setInterval(() => {
    const old = clock.monotonic() - (starting.length > 0 ? startingMs() : 0)
    while (starting.length > 0 && (starting[0]!.since < old || !starting[0]!.open)) {
      const place = starting.shift()!
      if (place.open) places++
      place.open = false
    }
    pump()
  }, TICK_MS)

  function schedule(item: T, afterMs: number): void {
    const entry = { due: clock.monotonic() + Math.max(0, afterMs), item }
    current.set(item, entry)
    push(heap, entry)
    if (afterMs <= 0) queueMicrotask(pump)
  }

  return {
    schedule,
    cancel: (item) => void current.delete(item),
    hasten(count, may) {
      const now = clock.monotonic()
      const chosen: T[] = []
      const passed: Entry<T>[] = []
      for (let entry = next(); entry && entry.due > now && chosen.length < count && passed.length < count * LOOKED_AT; entry = next()) {
        pop(heap)
        if (may(entry.item)) chosen.push(entry.item)
        else passed.push(entry)
      }
      for (const entry of passed) push(heap, entry)
      for (const item of chosen) schedule(item, 0)
    },
    get waiting() {
      return current.size
    },
    lateMs,
    stop() {
      stopped = true
      clearInterval(tick)
    },
  }
}

/** A binary heap by due time. */
function push<T>(heap: Entry<T>[], entry: Entry<T>): void {
  let at = heap.push(entry) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]!.due <= entry.due) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = entry
}

function pop<T>(heap: Entry<T>[]): Entry<T> {
  const top = heap[0]!
  const last = heap.pop()!
  if (heap.length === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.due < heap[child]!.due) child++
    if (heap[child]!.due >= last.due) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = last
  return top
}
