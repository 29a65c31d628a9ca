import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/agents/`: ids in upstream's one-element lists, or with `bulk=True` the status of each by id (protocol 3.1). */
export function listAgents(context: VerifierContext): Route['handle'] {
  const { verifierId, quoteInterval } = context.settings
  return ({ query }) => {
    const asked = query.get('verifier')
    const agents = asked && asked !== verifierId ? [] : [...context.agents.all()]
    if (query.get('bulk')?.toLowerCase() !== 'true') return { results: { uuids: agents.map((agent) => [agent.enrolment.agentId]) } }
    return { results: Object.fromEntries(agents.map((agent) => [agent.enrolment.agentId, agentView(agent, verifierId, quoteInterval)])) }
  }
}
