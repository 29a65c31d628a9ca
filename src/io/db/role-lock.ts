import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { type HeldLock, holdLock } from '../files/hold-lock.ts'

/** Who has a database. */
export type DatabaseRole = 'verifier' | 'registrar'

const RUNS = { verifier: 'another verifier is running on', registrar: 'another registrar is running on' } as const

/** For a service that starts. */
export const OWN_PLACE = ', or give this one its own KEYLIME_DIR and ports'

/** Takes a file of SQLite for this process alone. @param otherwise what else would do than to stop the other one. @returns its name without links. @throws KeylimeError `conflict` while the role runs on it. */
export async function lockRoleFile(role: DatabaseRole, file: string, otherwise = ''): Promise<{ name: string; lock: HeldLock }> {
  const name = await canonicalFile(file)
  const lockFile = lockFileOf(role, name)
  const lock = await holdLock(lockFile)
  if (lock) return { name, lock }
  throw new KeylimeError('conflict', `${RUNS[role]} ${file}`, {
    hint: `stop it first ("fuser ${lockFile}" names the process)${otherwise}`,
  })
}

/** Looks whether the role runs on a file, and makes none. @throws KeylimeError as `lockRoleFile`. */
export async function refuseLockedFile(role: DatabaseRole, file: string): Promise<void> {
  const isThere = await stat(lockFileOf(role, await canonicalFile(file))).catch(() => null)
  if (isThere) await (await lockRoleFile(role, file)).lock.release()
}

const lockFileOf = (role: DatabaseRole, name: string) => `${name}.${role}.lock`

/** The same file under another name is the same database. @throws KeylimeError `database_failed`. */
export async function canonicalFile(file: string): Promise<string> {
  const whole = await realpath(file).catch(() => null)
  if (whole !== null) {
    if ((await stat(whole)).nlink > 1)
      throw new KeylimeError(
        'database_failed',
        `the database ${file} has a second name (a hard link), under which another process could open it`,
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
