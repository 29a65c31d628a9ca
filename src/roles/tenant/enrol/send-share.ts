import { KeylimeError } from '../../../core/errors.ts'
import { authTag } from '../../../core/payload/auth-tag.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import type { Report } from '../events.ts'
import type { Payload } from './collect-payload.ts'
import type { ProvedAgent } from './prove-identity.ts'

/** Hands U, encrypted to the transport key that the TPM vouched for, and the sealed payload to the agent (protocol 3.4). @throws KeylimeError `refused`. */
export async function sendShare({ agent, reply }: ProvedAgent, agentId: string, payload: Payload, report: Report): Promise<void> {
  report({ type: 'working', text: 'sending the payload and the first key share to the agent' })
  const { status, message } = await agent.post('/keys/ukey', {
    encrypted_key: encryptShare(reply.pubkey, payload.u),
    auth_tag: authTag(payload.k, agentId),
    ...(payload.sealed === undefined ? {} : { payload: payload.sealed }),
  })
  if (status !== 200)
    throw new KeylimeError('refused', `the agent did not take the key share (${status}${message ? `: ${message}` : ''})`, {
      hint: 'see the agent’s log',
    })
  report({ type: 'share_sent', payloadBytes: payload.sealed?.length ?? 0 })
}
