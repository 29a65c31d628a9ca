import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { endEnrolment, type Stood } from './end-enrolment.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'loop' | 'policies' | 'push' | 'store'>

/** `DELETE /v2.x/agents/:id`: always done when it answers. Nobody is told: `revokeAgent` does that. */
export function deleteAgent(context: Used): Route['handle'] {
  const { commands, events, store } = context
  return async (request) => {
    const { agentId } = await findRecord(store, request.params)
    return commands.take(agentId, async () => {
      const record = await findRecord(store, request.params)
      const told = (stood: Stood): VerifierEvent => ({ type: 'agent_deleted', agent_id: agentId, operator: operatorOf(request), ...stood })
      const { stood } = await endEnrolment(context, record, (how) => store.delete(agentId, told(how)))
      events.raise(told(stood))
      return {}
    })
  }
}
