import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/agents/:id` (protocol 4.9). */
export function showAgent({ store, agents, settings }: Pick<VerifierContext, 'store' | 'agents' | 'settings'>): Route['handle'] {
  return async ({ params }) => {
    const record = await findRecord(store, params)
    return { results: agentView(record, settings, agents.get(record.agentId)) }
  }
}
