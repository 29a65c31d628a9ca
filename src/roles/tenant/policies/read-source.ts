import fs from 'node:fs/promises'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'

/** Largest policy that the verifier takes. */
export const MAX_POLICY_BYTES = 90 * 1024 * 1024

/** @param option that named the file, for errors. @throws KeylimeError `not_found`, `file_failed` or `payload_too_large`. */
export async function readFile(file: string, option: string): Promise<Buffer> {
  const bytes = await fs.readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'ENOENT' ? 'not_found' : 'file_failed'
    throw new KeylimeError(code, `${option}: cannot read ${file}: ${cause.message}`, { cause })
  })
  if (bytes.length > MAX_POLICY_BYTES) throw new KeylimeError('payload_too_large', `${option}: ${file} is larger than the verifier takes`)
  return bytes
}

/** Failures of `work` with the option that asked for it. */
export async function naming<T>(option: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError(cause.code, `${option}: ${cause.message}`, { cause: cause.cause })
  })
}
