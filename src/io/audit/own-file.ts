import { constants } from 'node:fs'
import fs, { type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'

const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW

export interface OwnFile {
  readonly handle: FileHandle
  readonly size: number
  readonly inode: bigint
}

/**
 * Opens a file to append to that is this user's alone: made with mode 0600 when missing, else a plain file of our own that nobody else may read or write.
 * @throws KeylimeError `file_failed`.
 */
export async function openOwnFile(file: string): Promise<OwnFile> {
  const handle = await fs.open(file, FLAGS, 0o600).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ELOOP' ? 'it is a symbolic link' : cause.message
    throw new KeylimeError('file_failed', `cannot open ${file}: ${why}`, { cause, hint: 'look at audit_log in verifier.conf' })
  })
  try {
    const stat = await handle.stat({ bigint: true })
    const defect = defectOf(stat)
    if (defect) throw new KeylimeError('file_failed', `${file} is not a safe place for the audit log: ${defect[0]}`, { hint: defect[1] })
    if (stat.size === 0n) await syncDirectory(path.dirname(file))
    return { handle, size: Number(stat.size), inode: stat.ino }
  } catch (error) {
    await handle.close()
    throw error
  }
}

function defectOf(stat: { isFile(): boolean; uid: bigint; mode: bigint; nlink: bigint }): [string, string] | null {
  const user = process.geteuid?.() ?? 0
  if (!stat.isFile()) return ['it is not a plain file', 'name another file in audit_log']
  if (stat.uid !== BigInt(user)) return [`it belongs to user ${stat.uid}, the verifier runs as ${user}`, 'give it to that user with chown']
  if ((stat.mode & 0o077n) !== 0n) return [`its mode is ${(stat.mode & 0o777n).toString(8)}`, 'take all others’ rights away: chmod 600']
  if (stat.nlink > 1n) return ['it has a second name (hard link)', 'move it away; the log then continues in a new file']
  return null
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
