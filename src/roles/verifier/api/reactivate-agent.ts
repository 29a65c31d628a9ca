import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'loop' | 'push' | 'store' | 'takeUp'>

/** `PUT /v2.x/agents/:id/reactivate`: attests again from the beginning. A V that was confirmed is not given a second time. */
export function reactivateAgent({ agents, commands, events, loop, push, store, takeUp }: Used): Route['handle'] {
  return async (request) => {
    const { params } = request
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const agent = agents.get(agentId) ?? (await takeUp.open(await findRecord(store, params)))
      agents.add(agent)
      const told: VerifierEvent = { type: 'agent_reactivated', agent_id: agentId, operator: operatorOf(request) }
      await loop.command(agent, { type: 'reactivated' }, told)
      events.raise(told)
      push.wakeUps.many([agent], 'it was reactivated')
      return {}
    })
  }
}
