import type { Route } from '../../../../io/http/route.ts'
import type { PushContext } from '../push-context.ts'
import { createReadWait } from '../read-wait.ts'
import { isAsked } from './admission.ts'
import { askedTooOften, jsonApiReply, refusal } from './json-api-reply.ts'

/**
 * `POST /v3.0/agents/:id/wait`, our own: held until there is something for this machine. One that failed may wait too: it is told of others as any machine is, and of its own
 * reactivation. Takes bytes.
 */
export function waitForNews({ agents, push }: Pick<PushContext, 'agents' | 'push'>): Route['handle'] {
  const read = createReadWait()
  return async ({ params, body, onGone }) => {
    const agent = agents.get(params['id']!)
    if (!agent) return refusal([{ status: 404, code: 'not_found', detail: 'this verifier does not attest that agent' }])
    if (agent.connection) return refusal([{ status: 403, code: 'agent_attestations_disabled', detail: isAsked(agent.enrolment) }])
    const wait = push.pace.take(agent, 'news')
    if (wait > 0) return askedTooOften(wait)
    const request = read(Buffer.isBuffer(body) ? body : Buffer.alloc(0))
    await push.authorities.heard(agent, request.authority)
    const attributes = await push.news.wait(agent, request, onGone)
    return jsonApiReply(200, { data: { type: 'news', attributes } }, push.news.isStopping ? { Connection: 'close' } : {})
  }
}
