import type { ApiReply, Route } from '../../../../io/http/route.ts'
import type { ManagedAgent } from '../../agents/managed-agent.ts'
import { requestedText } from '../choice.ts'
import type { PushContext } from '../push-context.ts'
import { readOffer } from '../read-offer.ts'
import { notAdmitted } from './admission.ts'
import { attestationPath, attestationReply, attestationResource } from './attestation-document.ts'
import { refusal, retryAfter } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'push'>

/** `POST /v3.0/agents/:id/attestations`: a machine says what it can prove, and is told what it has to. Takes bytes. */
export function negotiate({ agents, push }: Used): Route['handle'] {
  return ({ params, body }) => {
    const agent = agents.get(params['id']!)
    const refused = notAdmitted(agent, push)
    if (refused || !agent) return refusal([refused!])
    const offer = readOffer(Buffer.isBuffer(body) ? body : Buffer.alloc(0), push.attestations.latest(agent)?.chosen.offer)
    const wait = tooEarly(agent, push, offer.early)
    if (wait) return wait
    push.news.came(agent)
    const opened = push.attestations.open(agent, offer)
    if ('errors' in opened) return refusal(opened.errors)
    const { agentId } = agent.enrolment
    const requested = `"evidence_requested":${requestedText(opened.chosen, opened.challenge)},`
    return attestationReply(201, attestationResource(agentId, opened, requested), '', { Location: attestationPath(agentId, opened.index) })
  }
}

/** @param saysSo the machine has a reason to come before its time. */
function tooEarly(agent: ManagedAgent, { attestations, news, pace }: PushContext['push'], saysSo: boolean): ApiReply | null {
  const last = attestations.latest(agent)
  if (agent.busy || last?.stage === 'evaluating_evidence')
    return retryAfter({ status: 503, code: 'verification_in_progress', detail: 'the previous evidence is still being judged' }, 1)
  const left = pace.left(last, saysSo || news.isWoken(agent))
  if (left > 0) return retryAfter({ status: 429, code: 'premature_attestation', detail: 'the next attestation is not due yet' }, left)
  const tooMany = pace.take(agent, 'attestation')
  return tooMany > 0
    ? retryAfter({ status: 429, code: 'premature_attestation', detail: 'this agent has begun too many lately' }, tooMany)
    : null
}
