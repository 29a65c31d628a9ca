/** Does work that Ctrl-C (or SIGTERM) cuts short: the signal is aborted then, once, and a second Ctrl-C ends the process as ever. */
export async function interruptible<T>(work: (interrupted: AbortSignal) => Promise<T>): Promise<T> {
  const interrupting = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const interrupt = () => interrupting.abort()
  for (const signal of signals) process.once(signal, interrupt)
  try {
    return await work(interrupting.signal)
  } finally {
    for (const signal of signals) process.off(signal, interrupt)
  }
}
