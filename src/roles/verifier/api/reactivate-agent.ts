import type { Route } from '../../../io/http/route.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'logger' | 'loop' | 'store' | 'takeUp'>

/** `PUT /v2.x/agents/:id/reactivate`: attests again from the beginning. A V that was confirmed is not given a second time. */
export function reactivateAgent({ agents, commands, logger, loop, store, takeUp }: Used): Route['handle'] {
  return async ({ params }) => {
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const agent = agents.get(agentId) ?? (await takeUp.open(await findRecord(store, params)))
      agents.add(agent)
      await loop.command(agent, { type: 'reactivated' })
      logger.info(`agent ${agentId} was reactivated`)
      return {}
    })
  }
}
