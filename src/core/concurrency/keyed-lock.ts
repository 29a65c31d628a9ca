/** Runs the work for one key after the other, and for different keys side by side. */
export interface KeyedLock {
  take<T>(key: string, work: () => Promise<T>): Promise<T>
  /** Whether work for it is under way, or waits. */
  isTaken(key: string): boolean
}

/** Runs the work for all of the keys, when nothing else is under way for any. Who holds one must not wait for another. */
export async function takeAll<T>(lock: KeyedLock, keys: readonly string[], work: () => Promise<T>): Promise<T> {
  const { promise: end, resolve: release } = Promise.withResolvers<void>()
  const holding = keys.map(
    (key) =>
      new Promise<void>((resolve) => {
        void lock.take(key, () => {
          resolve()
          return end
        })
      }),
  )
  await Promise.all(holding)
  try {
    return await work()
  } finally {
    release()
  }
}

export function createKeyedLock(): KeyedLock {
  const last = new Map<string, Promise<unknown>>()
  return {
    isTaken: (key) => last.has(key),
    async take(key, work) {
      const before = last.get(key) ?? Promise.resolve()
      const mine = before.then(work, work)
      const settled = mine.catch(() => {})
      last.set(key, settled)
      try {
        return await mine
      } finally {
        if (last.get(key) === settled) last.delete(key)
      }
    },
  }
}
