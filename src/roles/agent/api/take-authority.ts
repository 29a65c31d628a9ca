import { authorityIntroduction } from '../../../core/api/authority-introduction.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import { followedText, isCalledBy } from '../authorities/followed-authorities.ts'
import type { AgentContext } from './agent-context.ts'

/**
 * `POST /v2.x/notifications/authority`, our own: the verifier hands on the next authority, vouched for by the one that is believed; or says, with a certificate
 * of the next, that the one before is over (decision 64).
 */
export async function postAuthority({ followAuthority, logger }: AgentContext, { body, peer }: ApiRequest): Promise<ApiReply> {
  const introduction = parseMessage(authorityIntroduction, body, 'the introduction of authorities')
  if (!followAuthority) throw new KeylimeError('forbidden', 'this agent follows no authority (follow_authority)')
  const followed = await followAuthority(introduction, isCalledBy(peer.kind === 'certificate' ? peer.certificate : undefined))
  if (followed.kind === 'again')
    return { status: 503, message: 'show a certificate of the next authority', headers: { Connection: 'close' } }
  const told = followedText(followed)
  if (told) logger.warn(told)
  return {}
}
