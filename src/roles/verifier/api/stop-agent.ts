import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'keeper' | 'events' | 'loop' | 'store'>

/** `PUT /v2.x/agents/:id/stop`: the tenant gave up on this agent (protocol 3.7). */
export function stopAgent({ agents, commands, keeper, events, loop, store }: Used): Route['handle'] {
  return async (request) => {
    const { params } = request
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const agent = agents.get(agentId)
      const told: VerifierEvent = { type: 'agent_stopped', agent_id: agentId, operator: operatorOf(request) }
      if (agent) await loop.command(agent, { type: 'stopped' }, told)
      else {
        const record = await findRecord(store, params)
        if ('defect' in record) throw new KeylimeError('conflict', record.defect, { hint: `delete agent ${agentId} and add it again` })
        await keeper.applyStored(record.agent, { type: 'stopped' }, told)
      }
      events.raise(told)
      return {}
    })
  }
}
