/** Time as an argument: `now` is milliseconds since the epoch, `monotonic` never goes back. */
export interface Clock {
  now(): number
  monotonic(): number
}

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }
