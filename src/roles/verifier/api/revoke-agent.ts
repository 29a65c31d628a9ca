import type { RevokedAtVerifier } from '../../../core/api/revoked.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import { irrecoverable } from '../../../core/verdict/failure.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { endEnrolment, type Stood } from './end-enrolment.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'loop' | 'notifier' | 'policies' | 'push' | 'store'>

/**
 * `PUT /v2.x/agents/:id/revoke`, our own: the operator's word that a machine is not to be trusted any more. Its enrolment ends, and in the same transaction the
 * notice is stored that goes to every other agent and receiver, signed as that of a failed attestation: their actions run as for any other. The machine itself
 * is not told.
 */
export function revokeAgent(context: Used): Route['handle'] {
  const { commands, events, notifier, store } = context
  return async (request) => {
    const { agentId } = await findRecord(store, request.params)
    return commands.take(agentId, async () => {
      const record = await findRecord(store, request.params)
      if ('defect' in record)
        throw new KeylimeError('conflict', record.defect, { hint: `delete agent ${agentId}: what is not readable cannot be told of` })
      const operator = operatorOf(request)
      const reason = irrecoverable('operator', 'revoked', { message: `an operator revoked it (${operator.common_name})` })
      const notice = notifier.prepare(record.agent.enrolment, 'revocation', reason)
      const told = (stood: Stood): VerifierEvent => ({ type: 'agent_revoked', agent_id: agentId, operator, ...stood })
      const { value: stored, stood } = await endEnrolment(context, record, (how) => store.revoke(agentId, notice, told(how)))
      events.raise(told(stood))
      if (stored) notifier.deliver(stored)
      return { results: { revocation: stored?.id ?? null, receivers: stored?.targets.length ?? 0 } satisfies RevokedAtVerifier }
    })
  }
}
