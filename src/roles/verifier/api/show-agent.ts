import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import { findAgent } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/agents/:id` (protocol 4.9). */
export function showAgent(context: VerifierContext): Route['handle'] {
  const { verifierId, quoteInterval } = context.settings
  return ({ params }) => ({ results: agentView(findAgent(context, params), verifierId, quoteInterval) })
}
