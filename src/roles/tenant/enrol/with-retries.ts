import { setTimeout as sleep } from 'node:timers/promises'
import { type RetryPolicy, retryDelay } from '../../../core/attestation/retry-delay.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'

type Used = Pick<TenantContext, 'config' | 'clock' | 'options' | 'report'>

/** Tries again while the other side cannot be reached or is busy, with growing pauses, at most `max_retries` times and not beyond `timeoutSeconds`. */
export async function withRetries<T>({ config, clock, options, report }: Used, what: string, work: () => Promise<T>): Promise<T> {
  const policy = retryPolicy(config)
  const end = clock.monotonic() + options.timeoutSeconds * 1000
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const passing = isKeylimeError(error) && ['unreachable', 'timeout', 'unavailable'].includes(error.code)
      const delay = retryDelay(attempt, policy)
      if (!passing || attempt >= policy.maxRetries || clock.monotonic() + delay * 1000 > end) throw error
      report({ type: 'warning', text: `${what}: ${error.message}; trying again in ${delay} s` })
      await sleep(delay * 1000)
    }
  }
}

/** Upstream's options for repeated tries. */
const retryPolicy = (config: TenantContext['config']): RetryPolicy => ({
  retryInterval: config.retry_interval,
  exponentialBackoff: config.exponential_backoff,
  maxRetries: config.max_retries,
})
