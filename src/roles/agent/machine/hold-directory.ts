import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { nativeAddon } from '../../../io/native/native-addon.ts'

export const lockFile = (keylimeDir: string): string => path.join(keylimeDir, '.agent.lock')

/**
 * Two agents with one directory would overwrite each other's keys. The lock is the process' own and ends with it, or when the descriptor is closed.
 * @returns the descriptor. @throws KeylimeError `conflict` when another agent has it, `file_failed` for a directory that cannot be written.
 */
export function holdDirectory(keylimeDir: string): number {
  let fd: number
  try {
    fd = fs.openSync(lockFile(keylimeDir), fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw new KeylimeError('file_failed', `cannot write into ${keylimeDir}: ${(cause as Error).message}`, {
      cause,
      hint: 'create keylime_dir and give it to the user who runs the agent, or set KEYLIME_DIR',
    })
  }
  if (nativeAddon().tryLock(fd)) return fd
  fs.closeSync(fd)
  throw new KeylimeError('conflict', `another agent is running with ${keylimeDir}`, { hint: 'stop it, or set another KEYLIME_DIR' })
}
