import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { mountAt } from '../../../io/files/mount-info.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { Account } from '../privileges.ts'

/** Name or path in the room, and text. */
export type RoomFiles = ReadonlyMap<string, string>

export interface ActionRoom {
  readonly directory: string
  remove(): void
}

/**
 * A directory for one run of one action, with what we write for it: the event, and the modules for Python. New and of its own name, so that nothing of a payload
 * is there, and nobody else's files are read. It is made in the first of `parents` that takes it: the tmpfs for secrets, which IMA's usual policies do not
 * measure, and which a large payload may have filled; then a disk, with a warning.
 * @throws KeylimeError `file_failed` when none takes it.
 */
export function openActionRoom(parents: readonly string[], files: RoomFiles, logger: Logger): ActionRoom {
  let cause: unknown
  for (const parent of parents) {
    try {
      return makeRoom(parent, files)
    } catch (error) {
      cause = error
      logger.warn(`no room for a revocation action in ${parent}: ${(error as Error).message}`)
    }
  }
  throw new KeylimeError('file_failed', `nothing can be written for a revocation action in ${parents.join(' and ')}`, {
    cause,
    hint: 'create keylime_dir and give it to the user who runs the agent, or set KEYLIME_DIR',
  })
}

/** Where rooms are made: `secure` when it is a tmpfs (without an agent that runs it may not be), and keylime_dir. */
export function roomParents(keylimeDir: string): string[] {
  const secure = path.join(keylimeDir, 'secure')
  return isTmpfs(secure) ? [secure, keylimeDir] : [keylimeDir]
}

/** Gives a room to another user, with a copy of the action: of all that the agent has, this is what that user can read. @returns the copy. @throws KeylimeError `file_failed`. */
export function admit({ uid, gid }: Account, room: string, action: string): string {
  const copy = path.join(room, path.basename(action))
  try {
    fs.copyFileSync(action, copy, fs.constants.COPYFILE_EXCL)
  } catch (cause) {
    throw new KeylimeError('file_failed', `the action cannot be copied to ${copy}`, { cause, hint: 'raise secure_size in agent.conf' })
  }
  fs.chmodSync(copy, 0o700)
  for (const name of ['', ...(fs.readdirSync(room, { recursive: true }) as string[])]) fs.lchownSync(path.join(room, name), uid, gid)
  return copy
}

function isTmpfs(directory: string): boolean {
  try {
    return mountAt(fs.realpathSync(directory))?.type === 'tmpfs'
  } catch {
    return false // there is none
  }
}

function makeRoom(parent: string, files: RoomFiles): ActionRoom {
  const directory = fs.mkdtempSync(path.join(parent, '.revocation-'))
  const remove = () => fs.rmSync(directory, { recursive: true, force: true })
  try {
    for (const [name, text] of files) {
      const file = path.join(directory, name)
      fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
      fs.writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
    }
  } catch (error) {
    remove()
    throw error
  }
  return { directory, remove }
}
