import { createHash } from 'node:crypto'
import type { StoredState } from './stored-agent.ts'

/** V is due: there is one, and the agent has not confirmed it. */
export const vIsDue = (state: StoredState): boolean => state.v !== null && (state.vState === 'held' || state.vState === 'releasing')

/** Names a transport key in the record of a release. */
export const fingerprint = (transportKey: string): string => createHash('sha256').update(transportKey).digest('hex')

/**
 * The record that must be on the disk before V is sent (invariant 2). Once V may have been sent to a transport key, it goes to no other.
 * @param transportKey bound by the quote of this very round. @returns what forbids it, as a sentence, or what of the state to change.
 */
export function prepareRelease(state: StoredState, transportKey: string): { refused: string } | { changes: Partial<StoredState> } {
  const target = fingerprint(transportKey)
  if (state.vState === 'releasing' && state.vReleasedTo !== target)
    return {
      refused: 'V was sent to another transport key before, and this machine has a new one: add the agent again to give it a new key',
    }
  return { changes: { vState: 'releasing', vReleasedTo: target, transportKey } }
}

/** V is confirmed: it is erased here, so that nothing can release it again. */
export const CONFIRMED: Partial<StoredState> = { v: null, vState: 'delivered' }

/** What was ordered is not taken: V is erased, and another order brings another. */
export const REFUSED: Partial<StoredState> = { v: null, vState: 'none' }
