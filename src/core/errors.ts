import { cutText } from './verdict/bounded-text.ts'

/** The closed list of things that can go wrong on purpose. HTTP status and exit code follow from the code alone. */
const CODES = {
  usage: { http: 400, exit: 2 },
  config_invalid: { http: 500, exit: 2 },
  malformed: { http: 400, exit: 1 },
  invalid_request: { http: 400, exit: 1 },
  unsupported_version: { http: 400, exit: 1 },
  unauthorized: { http: 401, exit: 5 },
  forbidden: { http: 403, exit: 5 },
  refused: { http: 403, exit: 5 },
  not_found: { http: 404, exit: 6 },
  agent_not_found: { http: 404, exit: 6 },
  policy_not_found: { http: 404, exit: 6 },
  already_exists: { http: 409, exit: 1 },
  conflict: { http: 409, exit: 1 },
  request_timeout: { http: 408, exit: 4 },
  payload_too_large: { http: 413, exit: 1 },
  unsupported_media_type: { http: 415, exit: 1 },
  too_many_requests: { http: 429, exit: 4 },
  unreachable: { http: 502, exit: 4 },
  timeout: { http: 504, exit: 4 },
  tls_failed: { http: 502, exit: 4 },
  attestation_failed: { http: 403, exit: 3 },
  ek_rejected: { http: 403, exit: 3 },
  decryption_failed: { http: 400, exit: 1 },
  wrong_password: { http: 403, exit: 5 },
  archive_refused: { http: 400, exit: 1 },
  secure_mount_refused: { http: 500, exit: 1 },
  tpm_failed: { http: 500, exit: 1 },
  script_failed: { http: 500, exit: 1 },
  file_failed: { http: 500, exit: 1 },
  database_failed: { http: 500, exit: 1 },
  address_in_use: { http: 500, exit: 1 },
  unavailable: { http: 503, exit: 4 },
} as const

export type ErrorCode = keyof typeof CODES

/** What a reader of the error may need besides its text. */
export interface ErrorOptions {
  /** The next step that mends it, as a sentence without a full stop. */
  hint?: string
  cause?: unknown
  /** Facts for machines (`--json`, logs): never secrets. */
  details?: Record<string, unknown>
}

/** Every failure we raise on purpose; anything else is a bug: its stack goes to the log and a bare 500 outward. */
export class KeylimeError extends Error {
  override readonly name = 'KeylimeError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown> | undefined
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }
}

/** All of them. */
export const ERROR_CODES = Object.keys(CODES) as ErrorCode[]

/** Whether a word of another process is one of the codes. */
export const isErrorCode = (word: string): word is ErrorCode => Object.hasOwn(CODES, word)

export const isKeylimeError = (error: unknown): error is KeylimeError => error instanceof KeylimeError

export const httpStatusOf = (code: ErrorCode): number => CODES[code].http

/** Process exit codes: 0 done, 1 failed, 2 usage, 3 attestation failed, 4 unreachable or timed out, 5 refused, 6 not found. */
export const exitCodeOf = (code: ErrorCode): number => CODES[code].exit

const MAX_TEXT = 1000

/** The same for a line of a log, with what is to be done. */
export const complaintOf = (error: unknown): string =>
  [causeChain(error).join(': '), ...(isKeylimeError(error) && error.hint ? [error.hint] : [])].join('; ')

/** The texts of an error and of its causes, outermost first, each of at most `maxText` characters; never none. */
export function causeChain(error: unknown, maxText = MAX_TEXT): string[] {
  const texts: string[] = []
  for (let at: unknown = error; Error.isError(at) && texts.length < 8; at = at.cause)
    if (!texts.at(-1)?.endsWith(at.message)) texts.push(at.message)
  return (texts.length > 0 ? texts : [String(error)]).map((text) => cutText(text, maxText))
}

/** What is at the bottom of a chain of causes; of several at once the first. */
export function rootCause(error: unknown): Error {
  let at = error
  while (Error.isError(at) && Error.isError(at.cause)) at = at.cause
  const first = at instanceof AggregateError ? at.errors[0] : at
  return Error.isError(first) ? first : new Error(String(first))
}
