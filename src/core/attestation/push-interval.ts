/** Seconds after which a machine that brings its evidence comes again: agents count in whole seconds, and never in none. @param stretch see `stretchAfter`. */
export const secondsToNext = (quoteInterval: number, stretch = 1): number => Math.max(1, Math.ceil(quoteInterval * stretch))

/** Intervals without evidence after which such a machine counts as unreachable (protocol 8.5). */
const SILENT_INTERVALS = 5

/** Milliseconds without evidence after which it does. */
export const silenceMs = (quoteInterval: number, stretch = 1): number => SILENT_INTERVALS * secondsToNext(quoteInterval, stretch) * 1000

/** Above it there is more to do than time to do it in; below the other there is time again. Shares of a period in which the event loop was busy. */
const [OVERLOADED, AT_EASE] = [0.97, 0.8]
const [GROWS_BY, SHRINKS_BY] = [1.25, 0.95]
/** An interval is never longer than three: machines that are told to come later are not taken for silent ones. */
export const LONGEST_STRETCH = 3

/**
 * By how much the intervals of all machines that bring their evidence are longer than configured, so that a verifier with too much to do still serves each of them: after an outage
 * those that are back leave room for those that are not. Grows quickly and shrinks slowly. @param busyShare of the last period, 0 to 1.
 */
export function stretchAfter(stretch: number, busyShare: number): number {
  if (busyShare >= OVERLOADED) return Math.min(LONGEST_STRETCH, stretch * GROWS_BY)
  return busyShare < AT_EASE ? Math.max(1, stretch * SHRINKS_BY) : stretch
}
