import { type ErrorCode, isKeylimeError, KeylimeError } from '../../core/errors.ts'

/** An error between two threads: what is not one of ours is a bug, and travels with its stack. */
export type ErrorMessage =
  | {
      keylime: true
      code: ErrorCode
      message: string
      hint: string | undefined
      details: Record<string, unknown> | undefined
      causes: string[]
    }
  | { keylime: false; message: string; stack: string | undefined }

const MAX_CAUSES = 8
const MAX_TEXT = 10_000

export function errorMessage(error: unknown): ErrorMessage {
  if (!isKeylimeError(error)) {
    const known = Error.isError(error) ? error : new Error(String(error))
    return { keylime: false, message: known.message.slice(0, MAX_TEXT), stack: known.stack?.slice(0, MAX_TEXT) }
  }
  const causes: string[] = []
  for (let at = error.cause; Error.isError(at) && causes.length < MAX_CAUSES; at = at.cause) causes.push(at.message.slice(0, MAX_TEXT))
  const { code, message, hint } = error
  return { keylime: true, code, message, hint, details: plain(error.details), causes }
}

/** @returns the KeylimeError that it was, or an Error that stands for a bug in the other thread. */
export function readErrorMessage(sent: ErrorMessage): Error {
  if (!sent.keylime) {
    const bug = new Error(`in a worker: ${sent.message}`)
    if (sent.stack !== undefined) bug.stack = sent.stack
    return bug
  }
  const { code, message, hint, details } = sent
  const cause = sent.causes.reduceRight<Error | undefined>((inner, text) => new Error(text, { cause: inner }), undefined)
  return new KeylimeError(code, message, { ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }), cause })
}

/** Details are facts for JSON: what is none cannot travel either. */
const plain = (details: Record<string, unknown> | undefined) =>
  details === undefined ? undefined : (JSON.parse(JSON.stringify(details)) as Record<string, unknown>)
