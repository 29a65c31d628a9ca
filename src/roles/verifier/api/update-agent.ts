import { parseMessage } from '../../../core/api/parse-message.ts'
import { enrolmentRequest, enrolmentUpdate } from '../../../core/api/verifier.ts'
import type { Route } from '../../../io/http/route.ts'
import { findRecord } from './find-agent.ts'
import { continueFrom, prepareEnrolment } from './prepare-enrolment.ts'
import type { VerifierContext } from './verifier-context.ts'

/**
 * `PUT /v2.x/agents/:id`, our own: another enrolment in the place of this one, in one transaction. What the request does not name stays. Until it is stored
 * the machine is attested as before, and from then on as it says: there is no moment in between. The attestation begins again.
 */
export function updateAgent(context: VerifierContext): Route['handle'] {
  const { agents, commands, logger, loop, policies, policyStore, store } = context
  return async ({ params, body }) => {
    const { agentId } = await findRecord(store, params)
    return commands.take(agentId, async () => {
      const record = await findRecord(store, params)
      const before = 'agent' in record ? record.agent : null
      const request = parseMessage(before ? enrolmentUpdate : enrolmentRequest, body, 'the update')
      const prepared = await prepareEnrolment(context, { agentId, request, before })
      const { agent, dangers } = prepared
      const old = agents.get(agentId)
      try {
        await policyStore.withBodies(prepared.bodies, async () => {
          if (old) await loop.pause(old)
          await store.replace(continueFrom(prepared, request, old ?? before))
        })
      } catch (error) {
        agent.connection.close()
        if (old) loop.resume(old)
        await policies.forgetUnused()
        throw error
      }
      agents.add(agent)
      old?.connection.close()
      agent.policy = await policies.policyOf(agent.enrolment).catch(() => agent.policy)
      loop.begin(agent, 0)
      await policies.forgetUnused()
      logger.info(`agent ${agentId} was updated`)
      return dangers.length > 0 ? { results: { warnings: dangers } } : {}
    })
  }
}
