import { PRIORITIES, type Priority } from './job.ts'

/** How much may wait, of each priority. */
export type QueueLimits = Record<Priority, { jobs: number; bytes: number }>

interface Waiting {
  readonly terms: { readonly priority: Priority; readonly bytes: number }
}

/** Jobs that wait for a worker: first by priority, then in the order in which they came. */
export class JobQueue<T extends Waiting> {
  readonly #limits: QueueLimits
  readonly #lanes = new Map<Priority, Set<T>>(PRIORITIES.map((priority) => [priority, new Set()]))
  readonly #bytes = new Map<Priority, number>(PRIORITIES.map((priority) => [priority, 0]))

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }
  get size(): number {
    return [...this.#lanes.values()].reduce((sum, lane) => sum + lane.size, 0)
  }
  get bytes(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  }
  /** False when there is no room. A single job of any size finds room where nothing else waits. */
  add(job: T): boolean {
    const { priority, bytes } = job.terms
    const [lane, limit, held] = [this.#lanes.get(priority)!, this.#limits[priority], this.#bytes.get(priority)!]
    if (lane.size >= limit.jobs || (lane.size > 0 && held + bytes > limit.bytes)) return false
    lane.add(job)
    this.#bytes.set(priority, held + bytes)
    return true
  }
  has(priority: Priority): boolean {
    return this.#lanes.get(priority)!.size > 0
  }
  /** The first that may start. */
  first(mayStart: (priority: Priority) => boolean): T | undefined {
    for (const priority of PRIORITIES) {
      const [job] = this.#lanes.get(priority)!
      if (job && mayStart(priority)) return job
    }
    return undefined
  }
  remove(job: T): boolean {
    const { priority, bytes } = job.terms
    if (!this.#lanes.get(priority)!.delete(job)) return false
    this.#bytes.set(priority, this.#bytes.get(priority)! - bytes)
    return true
  }
  takeAll(): T[] {
    const all = [...this.#lanes.values()].flatMap((lane) => [...lane])
    for (const job of all) this.remove(job)
    return all
  }
}
