import { type EnrolmentUpdate, enrolmentRequest, enrolmentUpdate } from '../../../core/api/verifier.ts'
import { deliveryDropped } from '../../../core/events/delivery-events.ts'
import { enrolmentEvent } from '../../../core/events/enrolment-event.ts'
import type { Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { findRecord } from './find-agent.ts'
import { DROPPED_WARNING, strandedDelivery } from './ordered-mailbox.ts'
import { continueFrom, type EnrolmentParts, orderedEvents, prepareEnrolment } from './prepare-enrolment.ts'
import { readUpload, type Upload } from './read-upload.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = EnrolmentParts & Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'judging' | 'loop' | 'push' | 'store'>

/**
 * `PUT /v2.x/agents/:id`, our own: another enrolment in the place of this one, in one transaction. What the request does not name stays. Until it is stored
 * the machine is attested as before, and from then on as it says: there is no moment in between. The attestation begins again.
 */
export function updateAgent(context: Used): Route['handle'] {
  const { agents, commands, events, judging, loop, mailboxes, policies, policyStore, push, store } = context
  return async (request) => {
    const { params, body } = request
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const record = await findRecord(store, params)
      const before = 'agent' in record ? record.agent : null
      const upload: Upload<EnrolmentUpdate> = await readUpload(judging, before ? enrolmentUpdate : enrolmentRequest, {
        body,
        what: 'the update',
      })
      const prepared = await prepareEnrolment(context, { agentId, upload, before })
      const { agent, dangers } = prepared
      const operator = operatorOf(request)
      const old = agents.get(agentId)
      let dropped: string | null = null
      const told = () => [
        enrolmentEvent('agent_updated', { agent, refs: agent.policy.refs, warnings: dangers.length, operator }),
        ...orderedEvents(prepared, operator),
        ...(dropped === null ? [] : [deliveryDropped(agentId, dropped)]),
      ]
      try {
        await policyStore.withBodies(prepared.bodies, () =>
          mailboxes.withStaged(prepared.ordered?.mailbox ?? null, async (mailbox) => {
            if (old) await loop.pause(old)
            const current = old ?? before
            dropped = strandedDelivery(upload.message, { ak: agent.enrolment.ak, current })
            await store.replace({ ...continueFrom(prepared, { request: upload.message, mailbox }, current), events: told() })
          }),
        )
      } catch (error) {
        agent.connection?.close()
        if (old && agents.get(agentId) === old) loop.resume(old)
        await policies.forgetUnused()
        throw error
      }
      agents.add(agent)
      old?.connection?.close()
      if (old) push.held.wake(old)
      agent.policy = await policies.policyOf(agent.enrolment).catch(() => agent.policy)
      loop.begin(agent, 0)
      push.wakeUps.many([agent], 'its enrolment was changed')
      await policies.forgetUnused()
      events.raise(...told())
      const warnings = [...dangers, ...(dropped === null ? [] : [DROPPED_WARNING])]
      return warnings.length > 0 ? { results: { warnings } } : {}
    })
  }
}
