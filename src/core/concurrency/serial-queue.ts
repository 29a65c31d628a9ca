/** Runs one piece of work at a time, in the order in which they were asked. */
export interface SerialQueue {
  /** Begins `work` when all that was asked before has ended, however it ended. @returns what it gives, or throws what it throws. */
  run<T>(work: () => T | Promise<T>): Promise<T>
  /** Resolves when all that was asked so far has ended. Never rejects. */
  idle(): Promise<void>
}

/** @param first what all work waits for. */
export function createSerialQueue(first: Promise<unknown> = Promise.resolve()): SerialQueue {
  const ended = async (work: Promise<unknown>) => {
    await work.catch(() => undefined)
  }
  let last = ended(first)
  return {
    run(work) {
      const mine = last.then(work)
      last = ended(mine)
      return mine
    },
    idle: () => last,
  }
}
