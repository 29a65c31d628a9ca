import { parseAgentId } from '../../../../core/api/agent-id.ts'
import { parseMessage } from '../../../../core/api/parse-message.ts'
import { sessionRequest, TPM_POP } from '../../../../core/api/push/session.ts'
import type { Route } from '../../../../io/http/route.ts'
import type { PushContext } from '../push-context.ts'
import { timeText } from './json-api-reply.ts'

/** `POST /v3.0/sessions`: a challenge for whoever asks. Nothing is kept, and nobody learns which ids are enrolled. */
export function openSession({ push }: Pick<PushContext, 'push'>): Route['handle'] {
  return ({ body }) => {
    const { data } = parseMessage(sessionRequest, body, 'the session')
    const agentId = parseAgentId(data.attributes.agent_id)
    const { id, challenge, createdAt, expiresAt } = push.sessions.open(agentId)
    const attributes = {
      agent_id: agentId,
      authentication_requested: [{ ...TPM_POP, chosen_parameters: { challenge: challenge.toString('base64') } }],
      created_at: timeText(createdAt),
      challenges_expire_at: timeText(expiresAt),
    }
    return { raw: { type: 'application/json', body: JSON.stringify({ data: { type: 'session', id, attributes } }) } }
  }
}
