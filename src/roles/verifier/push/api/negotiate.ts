import { parseMessage } from '../../../../core/api/parse-message.ts'
import { negotiation } from '../../../../core/api/push/attestation.ts'
import type { ApiReply, Route } from '../../../../io/http/route.ts'
import type { ManagedAgent } from '../../agents/managed-agent.ts'
import type { Attestation } from '../attestations.ts'
import type { PushContext } from '../push-context.ts'
import { notAdmitted } from './admission.ts'
import { attestationDocument, attestationPath } from './attestation-document.ts'
import { jsonApiReply, refusal, retryAfter } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'clock' | 'push'>

/** `POST /v3.0/agents/:id/attestations`: a machine says what it can prove, and is told what it has to. */
export function negotiate({ agents, clock, push }: Used): Route['handle'] {
  return ({ params, body }) => {
    const agent = agents.get(params['id']!)
    const refused = notAdmitted(agent, push)
    if (refused || !agent) return refusal([refused!])
    const offered = parseMessage(negotiation, body, 'the attestation')
    const wait = tooEarly(agent, push.attestations.latest(agent), { now: clock.monotonic(), interval: push.quoteInterval })
    if (wait) return wait
    const opened = push.attestations.open(agent, offered)
    if ('errors' in opened) return refusal(opened.errors)
    const document = attestationDocument(agent.enrolment.agentId, opened, { evidence_requested: opened.requested })
    return jsonApiReply(201, document, { Location: attestationPath(agent.enrolment.agentId, opened.index) })
  }
}

/** @param interval seconds between two good attestations. What was not good may be tried again after a second. */
function tooEarly(
  agent: ManagedAgent,
  last: Attestation | undefined,
  { now, interval }: { now: number; interval: number },
): ApiReply | null {
  if (agent.busy || last?.stage === 'evaluating_evidence')
    return retryAfter({ status: 503, code: 'verification_in_progress', detail: 'the evidence before is still being judged' }, 1)
  if (!last?.received) return null
  const seconds = last.evaluation === 'pass' ? interval : Math.min(1, interval)
  const left = seconds - (now - last.received.monotonic) / 1000
  return left > 0 ? retryAfter({ status: 429, code: 'premature_attestation', detail: 'the next attestation is not due yet' }, left) : null
}
