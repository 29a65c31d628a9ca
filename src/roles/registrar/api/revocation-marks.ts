import { parseAgentId } from '../../../core/api/agent-id.ts'
import type { RevocationMarks, RevokedAtRegistrar } from '../../../core/api/revoked.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { type TpmOfRecord, tpmOf } from '../../../core/identity/tpm-of-record.ts'
import type { KnownOfTpm } from '../../../io/db/look-up-tpm.ts'
import type { Route } from '../../../io/http/route.ts'
import type { RegistrarContext, RegistrationContext } from './registrar-context.ts'

/** `PUT /v2.x/agents/:id/revoke`, our own: ends a registration and keeps id and TPM from registering again, also an id that is not registered now. */
export function revokeAgent({ store, agentLock, clock, logger }: RegistrarContext): Route['handle'] {
  return async ({ params }) => {
    const agentId = parseAgentId(params['id']!)
    return agentLock.take(agentId, async () => {
      const known = await store.find(agentId)
      // A change of its own: a registration of the same TPM under another id is either stored before it, or sees the mark.
      const tpmKnown = await store.revoke({ agentId, revokedAt: clock.now() })
      const others = known ? await store.othersOfTpm(tpmOf(known)) : []
      logger.warn(`agent ${agentId} was revoked by an operator: it cannot register until it is forgotten`, { tpm_known: tpmKnown })
      if (others.length > 0) logger.warn(`the TPM of agent ${agentId} is still registered under other ids`, { others: others.slice(0, 10) })
      return { results: { tpm_known: tpmKnown, other_ids: others } satisfies RevokedAtRegistrar }
    })
  }
}

/** `GET /v2.x/revocations`, our own. */
export function listRevocations({ store }: RegistrarContext): Route['handle'] {
  return async () => {
    const marks = await store.revocations()
    const revoked = marks.map(({ agentId, revokedAt }) => ({ agent_id: agentId, revoked_at: new Date(revokedAt).toISOString() }))
    return { results: { revoked } satisfies RevocationMarks }
  }
}

/** `DELETE /v2.x/agents/:id/revocation`, our own: id and TPM may register again. */
export function forgetRevocation({ store, agentLock, logger }: RegistrarContext): Route['handle'] {
  return async ({ params }) => {
    const agentId = parseAgentId(params['id']!)
    const existed = await agentLock.take(agentId, () => store.forgetRevocation(agentId))
    if (!existed) throw new KeylimeError('agent_not_found', `Agent with ID '${agentId}' is not revoked`)
    logger.info(`the revocation of agent ${agentId} was forgotten by an operator: it may register again`)
    return {}
  }
}

/** @throws KeylimeError `forbidden` for an id or a TPM that an operator has revoked; the other id of the TPM is not named, because anybody may ask. */
export function checkRevoked({ logger }: RegistrationContext, tpm: TpmOfRecord, { mark }: KnownOfTpm): void {
  if (!mark) return
  const isThis = mark.agentId === tpm.agentId
  const on = new Date(mark.revokedAt).toISOString().slice(0, 10)
  logger.warn(`agent ${tpm.agentId} asks to be registered, but was revoked by an operator on ${on}`, isThis ? {} : { as: mark.agentId })
  throw new KeylimeError(
    'forbidden',
    `${isThis ? `agent ${tpm.agentId}` : 'the TPM of this machine'} was revoked by an operator on ${on}`,
    {
      hint: '`keylime tenant forget ID` lets it register again',
    },
  )
}
