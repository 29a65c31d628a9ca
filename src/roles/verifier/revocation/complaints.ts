import type { Logger } from '../../../io/log/logger.ts'

/** Receivers that are no agents, and cannot be told: the first failure and each other one is a warning, and so is the end of it. */
export function createComplaints(logger: Logger) {
  const failing = new Map<string, string>()
  return {
    failed(target: string, reason: string) {
      if (target.startsWith('agent:') || failing.get(target) === reason) return
      failing.set(target, reason)
      logger.warn(`${target} cannot be told of a revocation, and is tried again: ${reason}`)
    },
    told(target: string) {
      if (failing.delete(target)) logger.info(`${target} can be told of revocations again`)
    },
  }
}
