import { setTimeout as sleep } from 'node:timers/promises'
import { type RetryPolicy, retryDelay } from '../../../core/attestation/retry-delay.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'

/** Upstream's options for repeated tries. */
export function retryPolicy({ config }: Pick<TenantContext, 'config'>): RetryPolicy {
  return { retryInterval: config.retry_interval, exponentialBackoff: config.exponential_backoff, maxRetries: config.max_retries }
}

/** Tries again while the other side cannot be reached or is busy, with growing pauses, at most `max_retries` times and not beyond `timeoutSeconds`. */
export async function withRetries<T>(context: TenantContext, what: string, work: () => Promise<T>): Promise<T> {
  const policy = retryPolicy(context)
  const end = context.clock.monotonic() + context.options.timeoutSeconds * 1000
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const passing = isKeylimeError(error) && ['unreachable', 'timeout', 'unavailable'].includes(error.code)
      const delay = retryDelay(attempt, policy)
      if (!passing || attempt >= policy.maxRetries || context.clock.monotonic() + delay * 1000 > end) throw error
      context.report({ type: 'warning', text: `${what}: ${error.message}; trying again in ${delay} s` })
      await sleep(delay * 1000)
    }
  }
}
