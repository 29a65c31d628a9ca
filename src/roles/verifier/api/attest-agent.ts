import type { AttestNow } from '../../../core/api/attest-now.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { notAdmitted } from '../push/api/admission.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'push' | 'store'>

/** `PUT /v2.x/agents/:id/attest`, our own: this machine is attested now, not when its interval is over. One that failed or was stopped is not: that takes `reactivate`. */
export function attestAgent({ agents, commands, events, push, store }: Used): Route['handle'] {
  return async (request) => {
    const { agentId } = await findRecord(store, request.params)
    const agent = await commands.take(agentId, async () => agents.get(agentId))
    const isRefused = agent === undefined || (agent.connection ? !agent.state.polled : notAdmitted(agent, push) !== null)
    if (isRefused)
      throw new KeylimeError('conflict', `agent ${agentId} is not attested now: it failed, or was stopped`, {
        hint: `\`keylime tenant explain -u ${agentId}\` says why; \`keylime tenant reactivate -u ${agentId}\` starts attesting it again`,
      })
    const told: VerifierEvent = { type: 'attestation_asked', agent_id: agentId, operator: operatorOf(request) }
    events.raise(told)
    return { results: { told: push.wakeUps.one(agent, 'an operator asked for it') } satisfies AttestNow }
  }
}
