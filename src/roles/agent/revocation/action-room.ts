import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { mountAt } from '../../../io/files/mount-info.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { Account } from '../machine/privileges.ts'

const PREFIX = '.revocation-'

export interface RoomContent {
  /** Name or path in the room, and text. */
  files: ReadonlyMap<string, string>
  /** File of the action. */
  action: string
  /** Another user, who is to run the action, and can read nothing else of the agent's; null: the agent's own. */
  reader: Account | null
}

export interface ActionRoom {
  readonly directory: string
  /** File of the action: a copy in the room for another user. */
  readonly action: string
  remove(): void
}

/**
 * A directory for one run of one action, with what we write for it: the event, and the modules for Python. New and of its own name, so that nothing of a payload
 * is there, and nobody else's files are read. It is made in the first of `parents` that takes it: the tmpfs for secrets, which IMA's usual policies do not
 * measure, and which a large payload may have filled; then a disk, with a warning. No user but the agent's own may write into `parents`.
 * @throws KeylimeError `file_failed` when none takes it.
 */
export function openActionRoom(parents: readonly string[], content: RoomContent, logger: Logger): ActionRoom {
  let cause: unknown
  for (const parent of parents) {
    try {
      return makeRoom(parent, content)
    } catch (error) {
      cause = error
      logger.warn(`no room for a revocation action in ${parent}: ${(error as Error).message}`)
    }
  }
  throw new KeylimeError('file_failed', `nothing can be written for a revocation action in ${parents.join(' and ')}`, {
    cause,
    hint: 'create keylime_dir and give it to the user who runs the agent, or set KEYLIME_DIR; or raise secure_size',
  })
}

/** Removes what a killed agent left of its rooms. */
export function clearRooms(parents: readonly string[]): void {
  for (const parent of parents) {
    const names = fs.existsSync(parent) ? fs.readdirSync(parent).filter((name) => name.startsWith(PREFIX)) : []
    for (const name of names) fs.rmSync(path.join(parent, name), { recursive: true, force: true })
  }
}

/** Where rooms are made: `secure` when it is a tmpfs (without an agent that runs it may not be), and keylime_dir. */
export function roomParents(keylimeDir: string): string[] {
  const secure = path.join(keylimeDir, 'secure')
  return isTmpfs(secure) ? [secure, keylimeDir] : [keylimeDir]
}

function isTmpfs(directory: string): boolean {
  try {
    return mountAt(fs.realpathSync(directory))?.type === 'tmpfs'
  } catch {
    return false // there is none
  }
}

function makeRoom(parent: string, { files, action, reader }: RoomContent): ActionRoom {
  const directory = fs.mkdtempSync(path.join(parent, PREFIX))
  const remove = () => fs.rmSync(directory, { recursive: true, force: true })
  try {
    for (const [name, text] of files) {
      const file = path.join(directory, name)
      fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
      fs.writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
    }
    return { directory, action: reader ? show(directory, action, reader) : action, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** Files become the reader's, directories stay ours: nothing can be moved or linked where we write and delete. @returns the action's copy. */
function show(directory: string, action: string, { uid, gid }: Account): string {
  const copy = path.join(directory, path.basename(action))
  fs.copyFileSync(action, copy, fs.constants.COPYFILE_EXCL)
  fs.chmodSync(copy, 0o700)
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    if (entry.isDirectory()) fs.chmodSync(file, 0o755)
    else fs.lchownSync(file, uid, gid)
  }
  fs.chmodSync(directory, 0o755)
  return copy
}
