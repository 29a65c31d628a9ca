import { parseAgentId } from '../../../core/api/agent-id.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { activationRequest } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { registrationTag, sameTag } from '../../../core/payload/auth-tag.ts'
import type { Route } from '../../../io/http/route.ts'
import type { RegistrarContext } from './registrar-context.ts'

/**
 * `PUT /v2.x/agents/:id`: the proof that the TPM holds the EK and the AK (protocol 2.10). A challenge can be answered once; a wrong answer
 * drops the pending registration and touches no active one.
 */
export function activateAgent(context: RegistrarContext): Route['handle'] {
  return async ({ params, body }) => {
    const agentId = parseAgentId(params['id']!)
    const { auth_tag: tag } = parseMessage(activationRequest, body, 'the activation')
    return context.agentLock.take(agentId, async () => {
      const pending = await context.store.findPending(agentId)
      if (!pending || pending.expiresAt <= context.clock.now()) {
        if (pending) await context.store.dropPending(agentId)
        throw new KeylimeError('agent_not_found', `no registration of agent ${agentId} waits for an answer`)
      }
      if (!sameTag(registrationTag(pending.secret, agentId), tag.toLowerCase())) {
        await context.store.dropPending(agentId)
        context.logger.warn(`agent ${agentId} gave a wrong answer to the challenge of its TPM: not activated`)
        throw new KeylimeError(
          'invalid_request',
          `Auth tag ${tag} for agent ${agentId} does not match: its TPM does not hold both EK and AK`,
        )
      }
      await context.store.activate(pending.record)
      context.logger.info(`agent ${agentId} is registered: its TPM holds EK and AK`)
      return {}
    })
  }
}
