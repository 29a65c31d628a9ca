/** Seconds after which a machine that brings its evidence comes again: agents count in whole seconds, and never in none. */
export const secondsToNext = (quoteInterval: number): number => Math.max(1, Math.ceil(quoteInterval))

/** Intervals without evidence after which such a machine counts as unreachable (protocol 8.5). */
const SILENT_INTERVALS = 5

/** Milliseconds without evidence after which it does. */
export const silenceMs = (quoteInterval: number): number => SILENT_INTERVALS * secondsToNext(quoteInterval) * 1000

/** No machine is told to come later than after so many: well before it counts as unreachable. */
const LONGEST_INTERVALS = 3
/** Of the time there is; the rest is for what nobody could plan. */
const PLANNED_SHARE = 0.9
/** Milliseconds: what an attestation is taken to cost at most. With few of them most of the time goes into something else. */
const MOST_MS_EACH = 5

/** When machines that bring their evidence come next. */
export interface Slots {
  /** The next machine takes a slot. @param nowMs monotonic. @returns seconds until it comes again: the interval, and the whole seconds by which slots lie behind that. */
  take(nowMs: number): number
  /** What the loop did of late. @param busyMs in which it worked. @param taken attestations. @param isFull there was no time left. */
  learn(busyMs: number, taken: number, isFull: boolean): void
}

/**
 * Plans when machines come again, so that a verifier with more to do than there is time for serves each of them later, and none too late. As long as there is time left, all come at the interval. Otherwise a slot
 * is as long as an attestation costs of late, all that the loop did besides included: after an outage those that are back leave room for those that connect.
 */
export function createSlots(quoteInterval: number): Slots {
  const usual = secondsToNext(quoteInterval)
  const [usualMs, longestMs] = [usual * 1000, LONGEST_INTERVALS * usual * 1000]
  let last = Number.NEGATIVE_INFINITY
  let slotMs = 0
  return {
    take(nowMs) {
      last = Math.min(Math.max(nowMs + usualMs, last + slotMs), nowMs + longestMs)
      return usual + Math.max(0, Math.floor((last - nowMs - usualMs) / 1000)) // no second less because a fraction was rounded
    },
    learn(busyMs, taken, isFull) {
      slotMs = isFull ? Math.min(taken > 0 ? busyMs / taken : busyMs, MOST_MS_EACH) / PLANNED_SHARE : 0
    },
  }
}
