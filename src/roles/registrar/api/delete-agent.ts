import { parseAgentId } from '../../../core/api/agent-id.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { Route } from '../../../io/http/route.ts'
import type { RegistrarContext } from './registrar-context.ts'

/** `DELETE /v2.x/agents/:id` (protocol 2.11): frees the id for another TPM. */
export function deleteAgent(context: RegistrarContext): Route['handle'] {
  return async ({ params }) => {
    const agentId = parseAgentId(params['id']!)
    const existed = await context.agentLock.take(agentId, () => context.store.delete(agentId))
    if (!existed) throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' is not registered`)
    context.logger.info(`agent ${agentId} was deleted by an administrator`)
    return {}
  }
}
