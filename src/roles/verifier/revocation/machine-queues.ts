import type { Delivery } from './delivery-log.ts'

/**
 * Notices for machines: one at a time is on its way to each, so that what is held of a machine that is off, or hangs, grows neither with the number of revocations nor with the time that it takes
 * to find that out. A few wait here for their turn; the others stay where they are stored, and come when there is room.
 */
export interface MachineQueues {
  /** @returns whether its turn is `now`, or it `waits` here; or it stays `stored`. */
  enter(delivery: Delivery): 'now' | 'waits' | 'stored'
  /** It was taken, given up, or lies ready for its machine. @returns whose turn is next, and after how many milliseconds. */
  leave(delivery: Delivery): Turn | null
  /** It was not taken: the next notice of the machine is tried, later and later. */
  failed(delivery: Delivery): Turn
  /** Whose turn it is. */
  current(target: string): Delivery | undefined
  /** Another verifier tells this machine. @returns what was held of it. */
  forget(target: string): readonly Delivery[]
  /** Machines that have room for some of their stored notices. @returns each once. */
  withRoom(limit: number): Room[]
  /** There are more where these were stored. */
  moreOf(room: Room): void
  /** Machines that did not take a notice, and have others where it is stored: for these, nobody has to keep a place. @returns each once. */
  silent(limit: number): string[]
  /** That it did not take one could not be stored. */
  silentStill(target: string): void
}

export interface Turn {
  delivery: Delivery
  afterMs: number
}

export interface Room {
  target: string
  /** Some of what is stored was ordered by an operator: that comes first. */
  hasOrders: boolean
}

interface Queue {
  current: Delivery
  readonly waiting: Delivery[]
  /** In a row. */
  failures: number
}

/** Notices of a machine that wait in memory; and as many of what operators ordered, which waits for nothing else. */
export const MAX_WAITING = 8
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 30_000

/** Milliseconds. @param failures in a row, from 1 on. */
export const retryAfter = (failures: number): number => Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MAX_RETRY_MS)

export function createMachineQueues(): MachineQueues {
  const queues = new Map<string, Queue>()
  /** Machines that have more where it is stored. */
  const stored = new Set<string>()
  /** Of these, those where an operator ordered some of it. */
  const orders = new Set<string>()
  const room = new Set<string>()
  const silent = new Set<string>()

  function keep(target: string, isOrder: boolean): void {
    stored.add(target)
    if (isOrder) orders.add(target)
  }

  function hasRoom(target: string, waiting: readonly Delivery[]): boolean {
    if (waiting.length < MAX_WAITING / 2) return stored.has(target)
    return orders.has(target) && waiting.filter(isOrdered).length < MAX_WAITING / 2
  }

  return {
    enter(delivery) {
      const { target } = delivery
      const queue = queues.get(target)
      if (!queue) {
        queues.set(target, { current: delivery, waiting: [], failures: 0 })
        return 'now'
      }
      if (queue.failures > 0) silent.add(target)
      const { waiting } = queue
      if (waiting.filter((one) => isOrdered(one) === isOrdered(delivery)).length >= MAX_WAITING) {
        keep(target, isOrdered(delivery))
        return 'stored'
      }
      const first = waiting.findIndex((one) => !isOrdered(one)) // what was tried in vain waits behind it, ordered or not
      waiting.splice(isOrdered(delivery) && first !== -1 ? first : waiting.length, 0, delivery)
      return 'waits'
    },
    leave(delivery) {
      const { target } = delivery
      const queue = queues.get(target)
      if (queue?.current !== delivery) return null
      const next = queue.waiting.shift()
      queue.failures = 0
      if (next) queue.current = next
      else queues.delete(target)
      if (hasRoom(target, queue.waiting)) {
        stored.delete(target)
        room.add(target)
      }
      return next ? { delivery: next, afterMs: 0 } : null
    },
    failed(delivery) {
      const queue = queues.get(delivery.target)
      if (queue?.current !== delivery) return { delivery, afterMs: retryAfter(delivery.attempts) }
      queue.failures++
      if (queue.failures === 1 && (stored.has(delivery.target) || queue.waiting.length > 0)) silent.add(delivery.target)
      queue.waiting.push(delivery) // a notice that its machine never takes holds up none of the others
      queue.current = queue.waiting.shift()!
      return { delivery: queue.current, afterMs: retryAfter(queue.failures) }
    },
    current: (target) => queues.get(target)?.current,
    forget(target) {
      const queue = queues.get(target)
      for (const held of [queues, stored, orders, room, silent]) held.delete(target)
      return queue ? [queue.current, ...queue.waiting] : []
    },
    withRoom: (limit) => some(room, limit).map((target) => ({ target, hasOrders: orders.delete(target) })),
    silent: (limit) => some(silent, limit),
    silentStill(target) {
      if (queues.has(target)) silent.add(target)
    },
    moreOf({ target, hasOrders }) {
      keep(target, hasOrders)
      if (hasRoom(target, queues.get(target)?.waiting ?? [])) {
        stored.delete(target)
        room.add(target)
      }
    },
  }
}

const isOrdered = ({ revocation }: Delivery): boolean => revocation.isOrdered === true

/** They are in it no more. */
function some(targets: Set<string>, limit: number): string[] {
  const chosen = [...targets].slice(0, limit)
  for (const target of chosen) targets.delete(target)
  return chosen
}
