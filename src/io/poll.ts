import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from './clock.ts'

export interface PollOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  readonly timeoutSeconds: number
  readonly firstPauseMs: number
  /** Pauses grow up to this one. */
  readonly longestPauseMs: number
  readonly pause?: (milliseconds: number) => Promise<unknown>
}

const GROWTH = 1.4

/**
 * Asks at once, and again after pauses that grow, until `probe` gives something. @returns that, or undefined when the next pause would end after the time
 * that is given. What `probe` throws ends it.
 */
export async function poll<T>(options: PollOptions, probe: () => Promise<T | undefined>): Promise<T | undefined> {
  const { clock, timeoutSeconds, firstPauseMs, longestPauseMs, pause = sleep } = options
  const end = clock.monotonic() + timeoutSeconds * 1000
  for (let milliseconds = firstPauseMs; ; milliseconds = Math.min(milliseconds * GROWTH, longestPauseMs)) {
    const found = await probe()
    if (found !== undefined) return found
    if (clock.monotonic() + milliseconds > end) return undefined
    await pause(milliseconds)
  }
}
