import { isKeylimeError, KeylimeError } from '../errors.ts'
import { cutText } from '../verdict/bounded-text.ts'
import { type JsonLimits, parseBoundedJson, SMALL_JSON } from './bounded-json.ts'

/** The reply of every v1 and v2 endpoint: `code` is the HTTP status again (protocol 1.1). */
export interface Envelope {
  code: number
  status: string
  results: unknown
}

/** An answer as it came over HTTP. */
export interface RawAnswer {
  status: number
  body: Buffer
}

/** Answers with nothing but some short fields, or none at all. */
export const SHORT_ANSWER_BYTES = 64 << 10

/** `status` is for people: it ends up in a log line or on a terminal. */
const MAX_STATUS_TEXT = 1000

/**
 * Reads a reply. An empty body gives an empty envelope, as upstream answers some errors; other keys are ignored.
 * @throws KeylimeError `malformed` when the body is neither empty nor an envelope within `limits`, nor a JSON:API error document.
 */
export function readEnvelope({ status: httpStatus, body }: RawAnswer, limits: JsonLimits = SMALL_JSON): Envelope {
  if (isBlank(body)) return { code: httpStatus, status: '', results: {} }
  const json = parse(body, `the reply (HTTP ${httpStatus})`, limits)
  if (typeof json !== 'object' || json === null) throw new KeylimeError('malformed', `the reply (HTTP ${httpStatus}) is not a JSON object`)
  const { status, results, errors } = json as Record<string, unknown>
  const detail = Array.isArray(errors) ? (errors[0] as { detail?: unknown } | undefined)?.detail : undefined
  return { code: httpStatus, status: statusText(status ?? detail), results: results ?? {} }
}

function parse(body: Buffer, what: string, limits: JsonLimits): unknown {
  try {
    return parseBoundedJson(body, what, limits)
  } catch (error) {
    throw isKeylimeError(error) ? new KeylimeError('malformed', error.message, { cause: error.cause }) : error
  }
}

const statusText = (status: unknown): string =>
  typeof status === 'string' ? cutText(status, MAX_STATUS_TEXT) : typeof status === 'number' ? String(status) : ''

/** Blanks alone, as many as a line or two have; what is longer is left to the parser. */
const isBlank = (body: Buffer): boolean => body.length < 100 && body.toString('latin1').trim() === ''
