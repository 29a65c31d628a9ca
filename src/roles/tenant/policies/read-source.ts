import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { readFile } from '../../../io/files/read-file.ts'

/** Largest policy that the verifier takes. */
export const MAX_POLICY_BYTES = 90 * 1024 * 1024

/** A policy, or a key for one, in a file. @param option that named the file, for errors. @throws KeylimeError `not_found`, `file_failed` or `payload_too_large`. */
export const readSource = (file: string, option: string): Promise<Buffer> => readFile(file, { option, maxBytes: MAX_POLICY_BYTES })

/** Failures of `work` with the option that asked for it. */
export async function naming<T>(option: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError(cause.code, `${option}: ${cause.message}`, { cause: cause.cause })
  })
}
