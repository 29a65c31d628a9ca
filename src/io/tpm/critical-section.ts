/** Runs one piece of work at a time, in the order in which they were asked. A failed one does not stop the next. */
export class CriticalSection {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine.catch(() => {})
    return mine
  }
}
