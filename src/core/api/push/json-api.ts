import { cutText } from '../../verdict/bounded-text.ts'

/** Media type of attestations (push-wire, JSON:API 1.1). Sessions are also sent and answered as plain JSON. */
export const JSON_API_TYPE = 'application/vnd.api+json'

export interface JsonApiError {
  status: number
  /** Of upstream's list: `invalid_resource_data`, `old_attestation`. Replies of the access layer have none. */
  code?: string
  detail: string
  /** Which member of the request is meant: `/data/attributes/evidence_supported`. */
  pointer?: string
}

const MAX_DETAIL = 1000

/** An error document. Several errors of one document belong to the same request. */
export function errorDocument(errors: readonly JsonApiError[], self?: string): string {
  return JSON.stringify({
    errors: errors.map(({ status, code, detail, pointer }) => ({
      status: String(status),
      ...(code ? { code } : {}),
      detail: cutText(detail, MAX_DETAIL),
      ...(pointer ? { source: { pointer } } : {}),
    })),
    ...(self ? { links: { self } } : {}),
    jsonapi: { version: '1.1' },
  })
}
