import type { JsonApiError } from '../../../../core/api/push/json-api.ts'
import type { Attestation } from '../attestations.ts'

/** Why a path does not name the latest attestation of a machine; null when it does. @param index a number, or `latest`. */
export function notThis(latest: Attestation | undefined, index: string): JsonApiError | null {
  if (!latest || (index !== 'latest' && !/^\d{1,15}$/.test(index)) || Number(index) > latest.index)
    return { status: 404, code: 'not_found', detail: 'there is no such attestation' }
  if (index === 'latest' || Number(index) === latest.index) return null
  return { status: 403, code: 'old_attestation', detail: 'another attestation was begun since: only the latest counts' }
}
