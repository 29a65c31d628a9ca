import { revocationNotification } from '../../../core/api/agent.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'

/** `POST /v2.x/notifications/revocation`: queued; whether it is believed is found out behind the queue. */
export function postRevocation({ inbox }: AgentContext, request: ApiRequest): ApiReply {
  const { msg, signature } = parseMessage(revocationNotification, request.body, 'the revocation notification')
  const acceptance = inbox.accept({ msg, signature: signature ?? '' })
  if (acceptance === 'full')
    throw new KeylimeError('unavailable', 'too many revocation notifications are waiting, or the disk of the agent is full')
  if (acceptance === 'too_long') throw new KeylimeError('payload_too_large', 'the revocation notification is too long')
  return {}
}
