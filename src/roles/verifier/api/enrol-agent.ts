import { parseAgentId } from '../../../core/api/agent-id.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { enrolmentRequest } from '../../../core/api/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { Route } from '../../../io/http/route.ts'
import { continueFrom, prepareEnrolment } from './prepare-enrolment.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `POST /v2.x/agents/:id`: everything is checked and opened, then stored in one transaction, then it is asked for its first quote (protocol 3.6). */
export function enrolAgent(context: VerifierContext): Route['handle'] {
  const { agents, commands, logger, loop, policies, policyStore, store } = context
  return async ({ params, body }) => {
    const agentId = parseAgentId(params['id']!)
    const request = parseMessage(enrolmentRequest, body, 'the enrolment')
    return commands.take(agentId, async () => {
      if (await store.find(agentId)) throw alreadyThere(agentId)
      const prepared = await prepareEnrolment(context, { agentId, request, before: null })
      const { agent, dangers } = prepared
      try {
        await policyStore.withBodies(prepared.bodies, () => store.insert(continueFrom(prepared, request, null)))
      } catch (error) {
        agent.connection.close()
        await policies.forgetUnused()
        throw error
      }
      agents.add(agent)
      // A policy that was updated meanwhile is found here, or by who updates it: the agent is in the table now.
      agent.policy = await policies.policyOf(agent.enrolment).catch(() => agent.policy)
      loop.begin(agent, 0)
      const { ip, port, runtimePolicy, mbPolicy, tpmPolicy } = agent.enrolment
      logger.info(`agent ${agentId} at ${hostPort(ip, port)} was added`, { runtimePolicy, mbPolicy, tpmPolicy })
      return dangers.length > 0 ? { results: { warnings: dangers } } : {}
    })
  }
}

const alreadyThere = (agentId: string) =>
  new KeylimeError('already_exists', `Agent of uuid ${agentId} already exists`, { hint: 'use "keylime tenant update", or delete it first' })
