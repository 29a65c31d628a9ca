import { parseAgentId } from '../../../../core/api/agent-id.ts'
import { KeylimeError } from '../../../../core/errors.ts'
import type { Route } from '../../../../io/http/route.ts'
import type { Attestation } from '../attestations.ts'
import { requestedText } from '../choice.ts'
import type { PushContext } from '../push-context.ts'
import { attestationPath, attestationReply, attestationResource } from './attestation-document.ts'
import { jsonApiText, refusal } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'push' | 'store'>

/** `GET /v3.0/agents/:id/attestations`: the latest alone is kept. */
export function listAttestations(used: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId, latest } = await latestOf(used, params)
    const self = JSON.stringify(attestationPath(agentId, '').slice(0, -1))
    return jsonApiText(200, `"data":[${latest ? shown(agentId, latest) : ''}],"links":{"self":${self}}`)
  }
}

/** `GET /v3.0/agents/:id/attestations/:index`, or `…/latest`. */
export function showAttestation(used: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId, latest } = await latestOf(used, params)
    const index = params['index']!
    if (latest && (index === 'latest' || index === String(latest.index))) return attestationReply(200, shown(agentId, latest))
    return refusal([{ status: 404, code: 'not_found', detail: 'there is no such attestation: of each agent the latest is kept' }])
  }
}

async function latestOf({ agents, push, store }: Used, params: Record<string, string>) {
  const agentId = parseAgentId(params['id']!)
  const agent = agents.get(agentId)
  if (!agent && (await store.find(agentId)) === null) throw new KeylimeError('agent_not_found', 'agent id not found')
  return { agentId, latest: agent && push.attestations.latest(agent) }
}

function shown(agentId: string, attestation: Attestation): string {
  const { evaluation, failureReason, chosen, challenge } = attestation
  const verdict = `"evaluation":"${evaluation}","failure_reason":${JSON.stringify(failureReason)}`
  return attestationResource(agentId, attestation, `${verdict},"evidence_requested":${requestedText(chosen, challenge)},`)
}
