import type { Route } from '../../../io/http/route.ts'
import { findAgent } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `DELETE /v2.x/agents/:id`: always done when it answers; a round under way is forgotten. A policy of the agent's own goes with it. */
export function deleteAgent(context: VerifierContext): Route['handle'] {
  return async ({ params }) => {
    const agent = findAgent(context, params)
    const { agentId, runtimePolicy, mbPolicy } = agent.enrolment
    context.loop.forget(agent)
    await agent.turn // what is being stored of it must not come after its deletion
    await context.store.delete(agentId)
    context.agents.remove(agentId)
    if (runtimePolicy === agentId) await context.policies.delete('runtime', agentId)
    if (mbPolicy === agentId) await context.policies.delete('mb', agentId)
    context.logger.info(`agent ${agentId} was deleted`)
    return {}
  }
}
