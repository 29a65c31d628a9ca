/**
 * Work that many wait for: whoever asks while it runs shares the next run with all others who ask until that begins. Each run begins after it was asked for, so it sees all that was done before.
 */
export function coalesced<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> | null = null
  let next: Promise<T> | null = null
  async function run(): Promise<T> {
    const own = work()
    running = own
    try {
      return await own
    } finally {
      if (running === own) running = null
    }
  }
  return () => {
    if (running === null) return run()
    next ??= running.then(
      () => begin(),
      () => begin(),
    )
    return next
  }
  function begin(): Promise<T> {
    next = null
    return run()
  }
}
