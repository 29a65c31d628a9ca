import type { Rate } from './rate-limiter.ts'

/** One bucket of tokens (see `Rate`), for what is counted where it is. */
export class TokenBucket {
  readonly #rate: Rate
  #tokens: number
  #at: number | null = null

  constructor(rate: Rate) {
    this.#rate = rate
    this.#tokens = rate.burst
  }

  /** @param nowMs of a monotonic clock. @returns 0 when one was taken, otherwise the seconds until there is one. */
  take(nowMs: number): number {
    const { perSecond, burst } = this.#rate
    const gained = this.#at === null ? 0 : (Math.max(0, nowMs - this.#at) / 1000) * perSecond
    this.#at = nowMs
    this.#tokens = Math.min(burst, this.#tokens + gained)
    if (this.#tokens < 1) return (1 - this.#tokens) / perSecond
    this.#tokens--
    return 0
  }
}
