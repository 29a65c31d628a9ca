import type { Route } from '../../../io/http/route.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'logger' | 'loop' | 'policies' | 'store'>

/** `DELETE /v2.x/agents/:id`: always done when it answers; a round under way is forgotten. A policy of the agent's own goes with it. */
export function deleteAgent({ agents, commands, logger, loop, policies, store }: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const agent = agents.get(agentId)
      if (agent) await loop.pause(agent)
      try {
        await store.delete(agentId)
      } catch (error) {
        if (agent) loop.resume(agent)
        throw error
      }
      agents.remove(agentId)
      agent?.connection.close()
      await policies.forgetUnused()
      logger.info(`agent ${agentId} was deleted`)
      return {}
    })
  }
}
