import type { AgentIds } from '../../../core/api/agent-ids.ts'
import type { Route } from '../../../io/http/route.ts'
import type { RegistrarContext } from './registrar-context.ts'

/** `GET /v2.x/agents` (protocol 2.11). */
export function listAgents(context: RegistrarContext): Route['handle'] {
  return async () => ({ results: { uuids: await context.store.list() } satisfies AgentIds })
}
