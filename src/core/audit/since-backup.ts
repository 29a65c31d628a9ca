import type { VerifierEvent } from '../events/verifier-event.ts'

/** What the audit log has from the time on at which a backup was taken: after a restore nothing of it is in the database. Ids and names in order, each once. */
export interface SinceBackup {
  /** Enrolled, and still so at the end of the log. */
  readonly added: readonly string[]
  /** Deleted or revoked, and not enrolled again: they are back. */
  readonly removed: readonly string[]
  /** Enrolled by something else than the backup has: another policy, another payload. */
  readonly updated: readonly string[]
  /** Failed last, and not good again. */
  readonly failed: readonly string[]
  /** `runtime NAME`, `mb NAME`: stored, changed or deleted. */
  readonly policies: readonly string[]
}

/** Takes events in the order of the log. @param has whether the backup has a machine. */
export function createSinceBackup(has: (agentId: string) => boolean): { event(event: VerifierEvent): void; result(): SinceBackup } {
  const gone = new Map<string, boolean>()
  const updated = new Set<string>()
  const failed = new Set<string>()
  const policies = new Set<string>()
  function event(given: VerifierEvent): void {
    switch (given.type) {
      case 'agent_enrolled':
      case 'agent_updated':
        gone.set(given.agent_id, false)
        updated.add(given.agent_id)
        failed.delete(given.agent_id)
        break
      case 'agent_deleted':
      case 'agent_revoked':
        gone.set(given.agent_id, true)
        break
      case 'agent_failed':
        failed.add(given.agent_id)
        break
      case 'agent_recovered':
      case 'agent_reactivated':
        failed.delete(given.agent_id)
        break
      case 'policy_created':
      case 'policy_changed':
      case 'policy_deleted':
        policies.add(`${given.kind} ${given.name}`)
        break
      default:
    }
  }
  return {
    event,
    result() {
      const named = [...gone].filter(([id, isGone]) => has(id) === isGone).map(([id]) => id)
      const stays = (id: string) => has(id) && gone.get(id) !== true
      return {
        added: named.filter((id) => !has(id)).toSorted(),
        removed: named.filter(has).toSorted(),
        updated: [...updated].filter(stays).toSorted(),
        failed: [...failed].filter(stays).toSorted(),
        policies: [...policies].toSorted(),
      }
    },
  }
}
