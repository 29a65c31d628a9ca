import { parseAgentId } from '../../../../core/api/agent-id.ts'
import { KeylimeError } from '../../../../core/errors.ts'
import type { Route } from '../../../../io/http/route.ts'
import type { Attestation } from '../attestations.ts'
import type { PushContext } from '../push-context.ts'
import { attestationDocument, attestationPath } from './attestation-document.ts'
import { jsonApiReply, refusal } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'push' | 'store'>

/** `GET /v3.0/agents/:id/attestations`: the latest alone is kept. */
export function listAttestations(used: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId, latest } = await latestOf(used, params)
    return jsonApiReply(200, {
      data: latest ? [shown(agentId, latest).data] : [],
      links: { self: attestationPath(agentId, '').slice(0, -1) },
    })
  }
}

/** `GET /v3.0/agents/:id/attestations/:index`, or `…/latest`. */
export function showAttestation(used: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId, latest } = await latestOf(used, params)
    const index = params['index']!
    if (latest && (index === 'latest' || index === String(latest.index))) return jsonApiReply(200, shown(agentId, latest))
    return refusal([{ status: 404, code: 'not_found', detail: 'there is no such attestation: of each agent the latest is kept' }])
  }
}

async function latestOf({ agents, push, store }: Used, params: Record<string, string>) {
  const agentId = parseAgentId(params['id']!)
  const agent = agents.get(agentId)
  if (!agent && (await store.find(agentId)) === null) throw new KeylimeError('agent_not_found', 'agent id not found')
  return { agentId, latest: agent && push.attestations.latest(agent) }
}

function shown(agentId: string, attestation: Attestation) {
  const { evaluation, failureReason, requested } = attestation
  return attestationDocument(agentId, attestation, { evaluation, failure_reason: failureReason, evidence_requested: requested })
}
