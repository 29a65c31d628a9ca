import type { EventStream } from '../../../core/events/event-stream.ts'
import type { LoopLoad } from './attestation-loop.ts'

const PERIOD_MS = 1000
/** Later than an interval, and than this, is late. */
const MIN_LATE_MS = 2000
/** In time again means well below that, so that what is on the edge is not told each second. */
const IN_TIME = 0.25

export interface LagOptions {
  load(): Pick<LoopLoad, 'lateMs' | 'waiting'>
  events: Pick<EventStream, 'raise'>
  /** Seconds. */
  quoteInterval: number
}

/** Tells when machines are asked later than they should be, and when that is over. */
export function startLagWatch({ load, events, quoteInterval }: LagOptions): { stop(): void } {
  const limit = Math.max(MIN_LATE_MS, quoteInterval * 1000)
  let longest = 0
  const seconds = (ms: number) => Math.round(ms / 100) / 10
  const timer = setInterval(() => {
    const { lateMs, waiting } = load()
    const wasLate = longest > 0
    if (lateMs > limit || (wasLate && lateMs > limit * IN_TIME)) {
      longest = Math.max(longest, lateMs)
      if (!wasLate) events.raise({ type: 'attestations_late', late_seconds: seconds(lateMs), waiting })
    } else if (wasLate) {
      events.raise({ type: 'attestations_in_time', longest_seconds: seconds(longest) })
      longest = 0
    }
  }, PERIOD_MS)
  return { stop: () => clearInterval(timer) }
}
