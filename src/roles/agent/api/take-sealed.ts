import type { UserKeyRequest } from '../../../core/api/agent.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { mailbox } from '../../../core/api/push/delivery.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { sameTag } from '../../../core/payload/auth-tag.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'

/**
 * `POST /v2.x/keys/sealed`, our own: what an operator sealed for this machine while it could not be asked. Who brings it need not be believed: the order in it is signed, and only this TPM opens
 * the share. 200 when U is in memory; V then comes as ever.
 */
export async function postSealed({ sealed, payloads }: AgentContext, { body }: ApiRequest): Promise<ApiReply> {
  const { user } = await sealed.open(parseMessage(mailbox, body, 'the sealed delivery'))
  payloads.receive({ type: 'u', user })
  return {}
}

/**
 * The order that may ride along with U. @returns the name of the delivery, or undefined for one without an order. @throws KeylimeError `refused` for one that does not count, is older than the
 * newest, or is not there although `require_signed_payload` demands it.
 */
export async function orderOf({ sealed, requireSigned }: AgentContext, carried: UserKeyRequest): Promise<string | undefined> {
  const { encrypted_key: share, auth_tag: tag, payload, order, signature, certificate } = carried
  if (!order) {
    if (!requireSigned) return undefined
    throw new KeylimeError(
      'refused',
      'this agent accepts no payload without an order that an operator has signed (require_signed_payload)',
      {
        hint: 'a tenant of this version signs with an operator’s certificate, if the authority gives roles; `keylime tenant add --sealed` always does',
      },
    )
  }
  const accepted = await sealed.accept(
    { order, signature: signature ?? '', certificate: certificate ?? '' },
    { share, payload: payload ?? null },
  )
  if (sameTag(accepted.auth_tag, tag.toLowerCase())) return accepted.digest
  throw new KeylimeError('refused', 'the delivery order is refused: the auth tag is not the one that was signed')
}
