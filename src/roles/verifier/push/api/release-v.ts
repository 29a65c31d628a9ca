import type { ReleaseAnswer } from '../../../../core/api/push/delivery.ts'
import { isFresh } from '../../../../core/attestation/release.ts'
import type { ApiReply, Route } from '../../../../io/http/route.ts'
import type { ManagedAgent } from '../../agents/managed-agent.ts'
import type { Attestation } from '../attestations.ts'
import type { PushContext } from '../push-context.ts'
import { isAsked } from './admission.ts'
import { jsonApiReply, refusal } from './json-api-reply.ts'
import { notThis } from './latest-attestation.ts'

type Used = Pick<PushContext, 'agents' | 'push' | 'leasing'>

interface Found {
  agent: ManagedAgent
  attestation: Attestation
}

/** Well below what proxies wait for. */
const HOLD_MS = 20_000

/**
 * `GET /v3.0/agents/:id/attestations/:index/delivery`: V, for evidence that passed. It is held until the evidence is judged, and everything is looked at then: what a machine may have is
 * never what it might have had when it asked. A lost answer is given again, to the same key. Where several verifiers share a database, another one may attest the machine by now, for
 * one that could not reach it for a while: that is asked before V leaves.
 */
export function releaseV({ agents, push, leasing }: Used): Route['handle'] {
  const find = (params: Record<string, string>) => {
    const agent = agents.get(params['id']!)
    if (!agent || agent.removed) return refusal([{ status: 404, code: 'not_found', detail: 'this verifier does not attest that agent' }])
    if (agent.connection) return refusal([{ status: 403, code: 'agent_attestations_disabled', detail: isAsked(agent.enrolment) }])
    const attestation = push.attestations.latest(agent)
    const other = notThis(attestation, params['index']!)
    return other || !attestation ? refusal([other!]) : { agent, attestation }
  }
  return async ({ params }) => {
    const asked = find(params)
    if (!('agent' in asked)) return asked
    if (asked.attestation.stage !== 'verification_complete') await push.held.hold(asked.agent, HOLD_MS)
    const isOurs = await leasing.assure(params['id']!).then(
      () => true,
      () => false,
    )
    const found = find(params)
    return 'agent' in found ? released(found, isOurs ? push.offers : null) : found
  }
}

/** @param offers null when nothing is given away now. */
function released({ agent, attestation }: Found, offers: Used['push']['offers'] | null): ApiReply {
  const { stage, evaluation, transportKey, epoch, policy, openedAt, received } = attestation
  const hasPassed = stage === 'verification_complete' && evaluation === 'pass' && policy === agent.policy
  const isSoon = received !== null && isFresh({ openedAt, receivedAt: received.at })
  const encrypted = hasPassed && isSoon && transportKey !== null ? offers?.encryptedV(agent, { transportKey, epoch }) : null
  const answer: ReleaseAnswer = {
    data: {
      type: 'release',
      attributes: {
        evaluation: stage === 'verification_complete' ? evaluation : 'pending',
        enrolment: agent.delivery?.enrolment ?? null,
        encrypted_key: encrypted ?? null,
      },
    },
  }
  return jsonApiReply(200, answer, { 'Cache-Control': 'no-store' })
}
