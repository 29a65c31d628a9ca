import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { type HeldLock, holdLock } from '../files/hold-lock.ts'

/** Takes a file of SQLite for this process alone. @returns its name without links. @throws KeylimeError `conflict` while a verifier runs on it. */
export async function lockVerifierFile(file: string): Promise<{ name: string; lock: HeldLock }> {
  const name = await canonical(file)
  const lockFile = `${name}.verifier.lock`
  const lock = await holdLock(lockFile)
  if (lock) return { name, lock }
  throw new KeylimeError('conflict', `another verifier is running on ${file}`, {
    hint: `stop it first ("fuser ${lockFile}" names the process), or give this one its own KEYLIME_DIR and ports`,
  })
}

/** The same file under another name is the same database. */
async function canonical(file: string): Promise<string> {
  const whole = await realpath(file).catch(() => null)
  if (whole !== null) {
    if ((await stat(whole)).nlink > 1)
      throw new KeylimeError(
        'database_failed',
        `the database ${file} has a second name (a hard link), under which another verifier could open it`,
        {
          hint: `find the other name with "find -samefile ${file}" and remove it`,
        },
      )
    return whole
  }
  const directory = await realpath(path.dirname(file)).catch((cause) => {
    throw new KeylimeError('database_failed', `cannot open the database ${file}: ${cause.message}`, {
      cause,
      hint: 'check that the directory exists and is writable for this user',
    })
  })
  return path.join(directory, path.basename(file))
}
