export interface RetryPolicy {
  /** Seconds; the base of the exponent when `exponentialBackoff`. */
  retryInterval: number
  exponentialBackoff: boolean
  maxRetries: number
}

const MAX_DELAY_SECONDS = 3600

/** Seconds before try `attempt` (1-based): `interval ** attempt` when exponential and the base is over 1, else the interval (protocol 3). */
export function retryDelay(attempt: number, { retryInterval, exponentialBackoff }: RetryPolicy): number {
  const base = Math.abs(retryInterval)
  return exponentialBackoff && base > 1 ? Math.min(base ** attempt, MAX_DELAY_SECONDS) : base
}
