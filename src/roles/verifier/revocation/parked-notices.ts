import type { Delivery } from './delivery-log.ts'
import { agentIdOf } from './receiver.ts'

/**
 * Machines that could not be reached for some time. One notice of each is tried; its others stay where they are stored until that one is done, so that what is held of a machine that
 * is off does not grow with the number of revocations.
 */
export interface ParkedNotices {
  /** @returns whether the delivery stays where it is stored, as another one to the same machine is tried. */
  park(delivery: Delivery): boolean
  /** Tried no more: it was taken, or is given up. */
  done(delivery: Delivery): void
  /** Another verifier tells this machine. */
  forget(target: string): void
  /** Machines whose notices can be taken up again: each once. */
  comeBack(limit: number): string[]
  /** They could not be taken up. */
  putBack(targets: readonly string[]): void
}

/** After this many attempts, a machine has been away for some 15 seconds. */
const MANY_ATTEMPTS = 6

export function createParkedNotices(): ParkedNotices {
  const tried = new Map<string, Delivery>()
  const parked = new Set<string>()
  const back = new Set<string>()
  return {
    park(delivery) {
      const { target, attempts } = delivery
      if (attempts < MANY_ATTEMPTS || agentIdOf(target) === '') return false
      const other = tried.get(target)
      if (other === undefined) tried.set(target, delivery)
      if (other === undefined || other === delivery) return false
      parked.add(target)
      return true
    },
    done(delivery) {
      const { target } = delivery
      if (tried.get(target) !== delivery) return
      tried.delete(target)
      if (parked.delete(target)) back.add(target)
    },
    forget(target) {
      for (const held of [tried, parked, back]) held.delete(target)
    },
    comeBack(limit) {
      const targets = [...back].slice(0, limit)
      for (const target of targets) back.delete(target)
      return targets
    },
    putBack(targets) {
      for (const target of targets) back.add(target)
    },
  }
}
