import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'loop' | 'policies' | 'store'>

const UNREADABLE = { operational: OPERATIONAL_STATE.FAILED, vState: 'none' } as const

/** `DELETE /v2.x/agents/:id`: always done when it answers; a round under way is forgotten. A policy of the agent's own goes with it. */
export function deleteAgent({ agents, commands, events, loop, policies, store }: Used): Route['handle'] {
  return async (request) => {
    const { agentId } = await findRecord(store, request.params)
    return commands.take(agentId, async () => {
      const record = await findRecord(store, request.params)
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
      const { operational, vState } = agent?.state ?? ('agent' in record ? record.agent.state : UNREADABLE)
      events.raise({
        type: 'agent_deleted',
        agent_id: agentId,
        operator: operatorOf(request),
        operational_state: operational,
        v_state: vState,
      })
      return {}
    })
  }
}
