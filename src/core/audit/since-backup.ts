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
  /** An operator stopped them, for a reason: they are asked again. */
  readonly stopped: readonly string[]
  /** An operator had them attested again, and they stand still as in the backup. */
  readonly reactivated: readonly string[]
  /** `runtime NAME`, `mb NAME`: stored, changed or deleted. */
  readonly policies: readonly string[]
}

/** Takes events in the order of the log. @param has whether the backup has a machine. */
export function createSinceBackup(has: (agentId: string) => boolean): { event(event: VerifierEvent): void; result(): SinceBackup } {
  const gone = new Map<string, boolean>()
  const updated = new Set<string>()
  const failed = new Set<string>()
  const stopped = new Set<string>()
  const reactivated = new Set<string>()
  const policies = new Set<string>()
  /** One that stood still before the backup does so again. */
  function goesOn(agentId: string): void {
    const stoodStill = [failed.delete(agentId), stopped.delete(agentId)].includes(true)
    if (!stoodStill) reactivated.add(agentId)
  }
  function event(given: VerifierEvent): void {
    switch (given.type) {
      case 'agent_enrolled':
      case 'agent_updated':
        gone.set(given.agent_id, false)
        updated.add(given.agent_id)
        for (const ids of [failed, stopped, reactivated]) ids.delete(given.agent_id)
        break
      case 'agent_deleted':
      case 'agent_revoked':
        gone.set(given.agent_id, true)
        break
      case 'agent_failed':
        if (!reactivated.delete(given.agent_id)) failed.add(given.agent_id)
        break
      case 'agent_stopped':
        failed.delete(given.agent_id)
        if (!reactivated.delete(given.agent_id)) stopped.add(given.agent_id)
        break
      case 'agent_recovered':
        failed.delete(given.agent_id)
        break
      case 'agent_reactivated':
        goesOn(given.agent_id)
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
        stopped: [...stopped].filter(stays).toSorted(),
        reactivated: [...reactivated].filter(stays).toSorted(),
        policies: [...policies].toSorted(),
      }
    },
  }
}
