import { createHash } from 'node:crypto'
import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import type { StoredState } from '../../../core/attestation/stored-agent.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504, 599])

/** V is due: there is one, and the agent has not confirmed it. */
export const vIsDue = (state: StoredState): boolean => state.v !== null && (state.vState === 'held' || state.vState === 'releasing')

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

/** Sends V, encrypted to the transport key of the round's quote. Call it only after `prepareRelease` was stored. */
export async function sendV(agent: ManagedAgent): Promise<AgentEvent> {
  const attestedBefore = agent.progress.attestationCount > 0
  try {
    const encrypted = encryptShare(agent.state.transportKey!, Buffer.from(agent.state.v!, 'base64'))
    const path = `/v${agent.state.supportedVersion}/keys/vkey`
    const { code, status } = await agent.connection.request({ method: 'POST', path, body: { encrypted_key: encrypted } })
    if (code === 200) return { type: 'v_delivered' }
    const reason = `the agent answered V with ${code} ${status}`.trim()
    return TRY_AGAIN.has(code) ? { type: 'unreachable', stage: 'v', attestedBefore, reason } : { type: 'refused', stage: 'v', reason }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    if (error.code === 'malformed') return { type: 'refused', stage: 'v', reason: error.message }
    return { type: 'unreachable', stage: 'v', attestedBefore, reason: error.message }
  }
}
