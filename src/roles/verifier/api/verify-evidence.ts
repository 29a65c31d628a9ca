import { isAtLeast } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { Route } from '../../../io/http/route.ts'
import { PUBLIC_BUDGET_MS } from '../../../io/judging/judging.ts'
import { noResultReason } from '../../../io/workers/pool-errors.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `POST /v2.x/verify/evidence`: judges evidence that somebody else collected, once, and stores nothing (protocol 4.10). Takes bytes. */
export function verifyEvidenceOnce({ judging, events }: Pick<VerifierContext, 'judging' | 'events'>): Route['handle'] {
  return async ({ body, version }) => {
    if (!Buffer.isBuffer(body)) throw new KeylimeError('invalid_request', 'the evidence is missing')
    const { valid, failures } = await judging.verifyOnce(body).catch((error) => {
      if (noResultReason(error) === 'budget')
        events.raise({ type: 'judging_budget_exceeded', agent_id: null, job: 'verify/evidence', budget_ms: PUBLIC_BUDGET_MS })
      throw error
    })
    return { results: { valid: isAtLeast(version, '2.5') ? valid : Number(valid), claims: {}, failures } }
  }
}
