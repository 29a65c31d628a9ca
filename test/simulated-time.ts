import { jest } from '@jest/globals'
import type { Clock } from '../src/io/clock.ts'

/** Time that stands still until a test lets it pass: a clock to hand over, and the timers of the process. */
export interface SimulatedTime {
  readonly clock: Clock
  /** Lets `ms` pass, from timer to timer, with all promises that fall due. */
  pass(ms: number): Promise<void>
  /** The clock goes on and no timer fires, as when something held up the event loop. */
  leap(ms: number): void
  /** What has been resolved already goes on; no time passes. */
  settle(): Promise<void>
}

/** Real timers come back with `jest.useRealTimers()`, which each test file that uses this calls in its `afterEach`. */
export function simulatedTime(): SimulatedTime {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick'] })
  const begun = Date.now() // of the timers
  let leapt = 0
  const elapsed = () => leapt + Date.now() - begun
  return {
    clock: { now: () => 1_700_000_000_000 + elapsed(), monotonic: elapsed },
    pass: (ms) => jest.advanceTimersByTimeAsync(ms),
    leap(ms) {
      leapt += ms
    },
    settle: () => jest.advanceTimersByTimeAsync(0),
  }
}
