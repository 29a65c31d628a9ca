import { createHash } from 'node:crypto'
import { revocationNotification } from '../../../core/api/agent.ts'
import { NOTICE_DIGEST, type NoticeOutcome, notifierIntroduction } from '../../../core/api/notice.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'

/** `POST /v2.x/notifications/revocation`: queued; whether it is believed is found out behind the queue, and told by `getRevocationOutcome`. */
export function postRevocation({ inbox }: AgentContext, request: ApiRequest): ApiReply {
  const { msg, signature, verifier_signature: second } = parseMessage(revocationNotification, request.body, 'the revocation notification')
  const acceptance = inbox.accept({ msg, signature: signature ?? '', ...(second ? { verifierSignature: second } : {}) })
  if (acceptance === 'full')
    throw new KeylimeError('unavailable', 'too many revocation notifications are waiting, or the disk of the agent is full')
  if (acceptance === 'no_key')
    throw new KeylimeError('unavailable', 'no key of this agent matches the notification, and there is no room for more of these')
  if (acceptance === 'too_long') throw new KeylimeError('payload_too_large', 'the revocation notification is too long')
  return { results: inbox.outcomeOf(createHash('sha256').update(msg, 'utf8').digest('hex')) satisfies NoticeOutcome }
}

/** `GET /v2.x/notifications/revocation?digest=`, our own: what became of a notice, by SHA-256 of its text. */
export function getRevocationOutcome({ inbox }: AgentContext, request: ApiRequest): ApiReply {
  const digest = request.query.get('digest') ?? ''
  if (!NOTICE_DIGEST.test(digest)) throw new KeylimeError('invalid_request', 'digest must be SHA-256 of a notice in 64 lower hex digits')
  return { results: inbox.outcomeOf(digest) satisfies NoticeOutcome }
}

/**
 * `POST /v2.x/notifications/notifier`, our own: the verifier introduces its notifier key, over the connection on which it showed its certificate. An agent
 * without TLS takes it from nobody, as it takes no payload.
 */
export async function postNotifier({ inbox }: AgentContext, request: ApiRequest): Promise<ApiReply> {
  if (request.peer.kind !== 'certificate')
    throw new KeylimeError(
      'forbidden',
      'without TLS this agent accepts the certificate of a notifier only with a payload, or from revocation_cert',
    )
  await inbox.introduce(parseMessage(notifierIntroduction, request.body, 'the introduction of the notifier').certificate)
  return {}
}
