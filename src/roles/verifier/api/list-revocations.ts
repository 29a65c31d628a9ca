import type { RevocationReport } from '../../../core/api/revocation-report.ts'
import type { Route } from '../../../io/http/route.ts'
import type { VerifierContext } from './verifier-context.ts'

const LIMIT = 100

/** `GET /v2.x/revocations`, our own: of each revocation who was told, when, and who not yet. */
export function listRevocations({ revocations }: Pick<VerifierContext, 'revocations'>): Route['handle'] {
  return async () => {
    const report = await revocations.report(LIMIT)
    const view = report.map(({ id, agentId, type, createdAt, told, pending, givenUp }) => ({
      id,
      agent_id: agentId,
      type,
      time: new Date(createdAt).toISOString(),
      told: told.map(({ target, at }) => ({ target, time: new Date(at).toISOString() })),
      pending: pending.map(({ target, attempts, lastError }) => ({ target, attempts, last_error: lastError })),
      given_up: givenUp.map(({ target, lastError }) => ({ target, last_error: lastError })),
    }))
    return { results: { revocations: view } satisfies RevocationReport }
  }
}
