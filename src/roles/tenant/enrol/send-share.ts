import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { authTag } from '../../../core/payload/auth-tag.ts'
import { type SignedOrder, signOrder } from '../../../core/payload/delivery-order.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { Payload } from './collect-payload.ts'
import { operatorKey } from './operator-key.ts'
import type { ProvedAgent } from './prove-identity.ts'
import { orderFor } from './seal-delivery.ts'

export interface SendingShare {
  readonly agentId: string
  readonly payload: Payload
  /** Generation of the delivery before, as the verifier says; null for none. */
  readonly before: number | null
}

type Used = Pick<TenantContext, 'identity' | 'clock' | 'report'>

/**
 * Hands U, encrypted to the transport key that the TPM vouched for, and the sealed payload to the agent (protocol 3.4). An agent that refuses it is offered it once more, with an order of the
 * operator: `require_signed_payload` demands one. To others none is sent, which would protect nothing, and make two operators' clocks count. @throws KeylimeError `refused`.
 */
export async function sendShare(used: Used, { agent, reply }: ProvedAgent, sending: SendingShare): Promise<void> {
  const { report } = used
  const { agentId, payload } = sending
  report({ type: 'working', text: 'sending the payload and the first key share to the agent' })
  const share = encryptShare(reply.pubkey, payload.u)
  const body = {
    encrypted_key: share,
    auth_tag: authTag(payload.k, agentId),
    ...(payload.sealed === undefined ? {} : { payload: payload.sealed }),
  }
  const first = await agent.post('/keys/ukey', body)
  const order = first.status === 403 ? signed(used, sending, share) : undefined
  const { status, message } = order ? await agent.post('/keys/ukey', { ...body, ...order }) : first
  if (status !== 200)
    throw new KeylimeError('refused', `the agent did not take the key share (${status}${message ? `: ${message}` : ''})`, {
      hint: first.status === 403 && !order ? NO_OPERATOR : 'see the agent’s log',
    })
  report({ type: 'share_sent', payloadBytes: payload.sealed?.length ?? 0 })
}

const NO_OPERATOR =
  'see the agent’s log; an order is signed only by an operator: `keylime ca operator NAME` makes one, for client_cert and client_key of tenant.conf'

/** Undefined where the tenant is no operator, and its order would count nowhere. */
function signed({ identity, clock }: Used, { agentId, payload, before }: SendingShare, share: string): SignedOrder | undefined {
  try {
    const { key, certificate } = operatorKey(identity)
    return signOrder(orderFor({ agentId, payload, before, now: clock.now() }, share), key, certificate.pem)
  } catch (error) {
    if (isKeylimeError(error) && error.code === 'refused') return undefined
    throw error
  }
}
