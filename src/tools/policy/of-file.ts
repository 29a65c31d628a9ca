import { isKeylimeError, KeylimeError } from '../../core/errors.ts'

const HINT = '`keylime policy create` makes a new policy; `keylime policy convert` brings one of an older format up to date'

/** Names the file in what is wrong with its text. @throws KeylimeError. */
export function ofFile<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    const { code, message, hint = HINT, cause } = error
    throw new KeylimeError(code, message.includes(file) ? message : `${file}: ${message}`, { hint, cause })
  }
}
