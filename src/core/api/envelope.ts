import { KeylimeError } from '../errors.ts'

/** The reply of every v1 and v2 endpoint: `code` is the HTTP status again (protocol 1.1). */
export interface Envelope {
  code: number
  status: string
  results: unknown
}

/**
 * Reads a reply. An empty body gives an empty envelope, as upstream answers some errors; other keys are ignored.
 * @throws KeylimeError `malformed` when the body is neither empty nor an envelope, nor a JSON:API error document.
 */
export function parseEnvelope(httpStatus: number, text: string): Envelope {
  if (text.trim() === '') return { code: httpStatus, status: '', results: {} }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('malformed', `the reply (HTTP ${httpStatus}) is not JSON`, { cause })
  }
  if (typeof json !== 'object' || json === null) throw new KeylimeError('malformed', `the reply (HTTP ${httpStatus}) is not a JSON object`)
  const { status, results, errors } = json as Record<string, unknown>
  const detail = Array.isArray(errors) ? (errors[0] as { detail?: unknown } | undefined)?.detail : undefined
  return { code: httpStatus, status: String(status ?? detail ?? ''), results: results ?? {} }
}
