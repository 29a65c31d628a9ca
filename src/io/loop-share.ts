import { type EventLoopUtilization, performance } from 'node:perf_hooks'

/** Between two looks. */
const WINDOW_MS = 100

/** The share of the last tenth of a second in which the event loop had something to do: 0 to 1. @param look what the runtime counts. */
export function createLoopShare(
  look: (since?: EventLoopUtilization) => EventLoopUtilization = performance.eventLoopUtilization,
  monotonic: () => number = () => performance.now(),
): () => number {
  let since = look()
  let at = monotonic()
  let share = 0
  return () => {
    const now = monotonic()
    if (now - at < WINDOW_MS) return share
    share = look(since).utilization
    since = look()
    at = now
    return share
  }
}
