import { parseBoundedJson } from '../../../../core/api/bounded-json.ts'
import { parseMessage } from '../../../../core/api/parse-message.ts'
import { plainSubmission } from '../../../../core/api/plain-evidence.ts'
import { type Submission, submission } from '../../../../core/api/push/attestation.ts'
import type { JsonApiError } from '../../../../core/api/push/json-api.ts'
import type { ApiReply, Route } from '../../../../io/http/route.ts'
import { createInNextTurn } from '../../../../io/next-turn.ts'
import { type Attestation, sha256 } from '../attestations.ts'
import type { PushContext } from '../push-context.ts'
import { notAdmitted } from './admission.ts'
import { attestationReply, attestationResource } from './attestation-document.ts'
import { refusal, retryAfter } from './json-api-reply.ts'
import { notThis } from './latest-attestation.ts'

type Used = Pick<PushContext, 'agents' | 'clock' | 'push'>

/** Read before the answer: an agent that could not collect, or sends what is no evidence, learns it. What is larger is judged in any case. */
const LOOKED_INTO_BYTES = 64 << 10

/**
 * `PATCH /v3.0/agents/:id/attestations/:index`: the evidence. It is answered before it is judged, as agents wait five seconds; the same body gets the same answer, as agents send it again
 * when the answer was lost. Takes bytes.
 */
export function takeEvidence({ agents, clock, push }: Used): Route['handle'] {
  const inNextTurn = createInNextTurn()
  return ({ params, body }) => {
    const agent = agents.get(params['id']!)
    const refused = notAdmitted(agent, push)
    if (refused || !agent) return refusal([refused!])
    const attestation = push.attestations.latest(agent)
    const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0)
    const other = notThis(attestation, params['index']!)
    if (other || !attestation) return refusal([other!])
    const { agentId } = agent.enrolment
    if (attestation.received)
      return attestation.received.sha256 === sha256(bytes)
        ? acceptedReply(agentId, attestation, stillToNext(attestation.received, clock.monotonic()))
        : refusal([IMMUTABLE])
    if (clock.now() >= attestation.expiresAt) return refusal([EXPIRED])
    if (agent.busy) return retryAfter({ status: 503, code: 'verification_in_progress', detail: 'this agent is being judged' }, 1)
    let given: Submission | undefined
    if (bytes.length <= LOOKED_INTO_BYTES) {
      const json = parseBoundedJson(bytes, 'the evidence')
      given = plainSubmission(json) ?? parseMessage(submission, json, 'the evidence')
      if (given.data.type === 'error') {
        push.attestations.note(agent, 'the agent could not collect its evidence: its log says why')
        return refusal([
          { status: 400, code: 'invalid_request', detail: 'evidence is needed: the agent says that it could not collect it' },
        ])
      }
    }
    const toNext = push.crowd.secondsToNext() // one slot for each attestation, however often its evidence comes
    push.attestations.receive(attestation, bytes, toNext)
    const reply = acceptedReply(agentId, attestation, toNext)
    inNextTurn(() => void push.judge(agent, attestation, { body: bytes, given })) // the answer goes first
    return reply
  }
}

const IMMUTABLE: JsonApiError = { status: 403, code: 'evidence_immutable', detail: 'this attestation already has other evidence' }
const EXPIRED: JsonApiError = {
  status: 403,
  code: 'challenges_expired',
  detail: 'the challenge of this attestation has expired: begin another',
}

/** Of what was said when it came first: a machine that was told to come late and lost the answer would fall silent otherwise. */
const stillToNext = ({ toNext, monotonic }: NonNullable<Attestation['received']>, now: number): number =>
  Math.max(1, toNext - Math.floor((now - monotonic) / 1000))

function acceptedReply(agentId: string, attestation: Attestation, toNext: number): ApiReply {
  const resource = attestationResource(agentId, attestation, '"evidence":[],', 'evaluating_evidence')
  return attestationReply(202, resource, `,"meta":{"seconds_to_next_attestation":${toNext}}`)
}
