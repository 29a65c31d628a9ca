import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/agents/:id` (protocol 4.9). */
export function showAgent({
  store,
  agents,
  leasing,
  settings: { quoteInterval },
}: Pick<VerifierContext, 'store' | 'agents' | 'leasing' | 'settings'>): Route['handle'] {
  return async ({ params }) => {
    const record = await findRecord(store, params)
    const { agentId } = record
    const holderOf = await leasing.holders([agentId])
    return { results: agentView(record, { verifierId: holderOf(agentId), quoteInterval }, agents.get(agentId)) }
  }
}
