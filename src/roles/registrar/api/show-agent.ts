import { parseAgentId } from '../../../core/api/agent-id.ts'
import type { FullRegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { AgentRecord } from '../../../core/identity/agent-record.ts'
import { tpmOf } from '../../../core/identity/tpm-of-record.ts'
import type { Route } from '../../../io/http/route.ts'
import type { RegistrarContext } from './registrar-context.ts'

/** `GET /v2.x/agents/:id` (protocol 2.11): only agents whose TPM has proved itself. */
export function showAgent(context: RegistrarContext): Route['handle'] {
  return async ({ params }) => {
    const agentId = parseAgentId(params['id']!)
    const record = await context.store.find(agentId)
    if (record) return { results: view(record, await context.store.othersOfTpm(tpmOf(record))) }
    const mark = (await context.store.revocations()).find((revoked) => revoked.agentId === agentId)
    if (mark) throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' was revoked by an operator`)
    if ((await context.store.waiting.ofId(agentId)).length > 0)
      throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' waits for the approval of an operator: keylime tenant approve`)
    const isPending = await context.store.hasPending(agentId, context.clock.now())
    const state = isPending ? 'has not been activated' : 'is not registered'
    throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' ${state}`)
  }
}

const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null

const view = (record: AgentRecord, others: readonly string[]): FullRegisteredAgent => ({
  agent_id: record.agentId,
  aik_tpm: record.ak.toString('base64'),
  ek_tpm: base64(record.ek),
  ekcert: base64(record.ekCertificate),
  mtls_cert: record.mtlsCertificate,
  ip: record.ip,
  port: record.port,
  regcount: record.regcount,
  ...(others.length > 0 ? { shares_tpm_with: [...others] } : {}),
})
