import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import type { DeliveryReport } from '../../../core/api/push/delivery.ts'

/** What a machine brought with its evidence, as one that is asked says it. One that has taken nothing has none. */
export function progressOf({ state, files, script, script_exit, script_error, error }: DeliveryReport): DeliveryProgress {
  const isThere = state !== 'waiting' && state !== 'refused'
  return {
    state: isThere ? state : 'none',
    files,
    script,
    script_exit: script_exit ?? null,
    script_error: script_error ?? null,
    error: error ?? null,
  }
}

/** What a machine that nobody can ask has said of its payload; null when it has said nothing yet, undefined where nothing was ordered. */
export function broughtProgress({ delivery }: AgentStatus): DeliveryProgress | null | undefined {
  if (!delivery) return undefined
  const { report } = delivery
  return report && report.state !== 'waiting' && report.state !== 'refused' ? progressOf(report) : null
}
