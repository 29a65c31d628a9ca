import { readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/**
 * Brings V to an agent whose release is recorded on the disk (`prepareRelease`): the only place from which V leaves. It is encrypted to the transport
 * key that the quote of this round bound. Another way to agents is another function of this type.
 * @returns what came of it: `v_delivered`, `unreachable` or `refused`.
 */
export type CarryV = (agent: ManagedAgent) => Promise<AgentEvent>

/** The pull model's way: a POST to the agent's own API (protocol 5.1). */
export const postV: CarryV = async (agent) => {
  const attestedBefore = agent.progress.attestationCount > 0
  const { connection } = agent
  if (!connection)
    return { type: 'unreachable', stage: 'v', attestedBefore, reason: 'nothing can be posted to a machine that brings its evidence' }
  try {
    const encrypted = encryptShare(agent.state.transportKey!, Buffer.from(agent.state.v!, 'base64'))
    const path = `/v${agent.state.supportedVersion}/keys/vkey`
    const request = { method: 'POST', path, body: { encrypted_key: encrypted }, maxBytes: SHORT_ANSWER_BYTES } as const
    const { code, status } = readEnvelope(await connection.request(request))
    if (code === 200) return { type: 'v_delivered' }
    const reason = `the agent answered V with ${code} ${status}`.trim()
    return isTryAgain(code) ? { type: 'unreachable', stage: 'v', attestedBefore, reason } : { type: 'refused', stage: 'v', reason }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    if (error.code === 'malformed') return { type: 'refused', stage: 'v', reason: error.message }
    return { type: 'unreachable', stage: 'v', attestedBefore, reason: error.message }
  }
}
