import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { poll } from '../poll.ts'
import { giveToOwner } from './atomic-file.ts'

const PAUSE_MS = 20
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Opens the file of a lock, made when missing. One that root makes where a service works is the service's: it could never take it otherwise. Who works there may have put something
 * else in its place, for root to give to him: no link is followed, and nothing is given that has another name or something in it. @throws KeylimeError `file_failed`.
 */
export async function openLock(file: string): Promise<fs.FileHandle> {
  let handle: fs.FileHandle | undefined
  try {
    handle = await fs.open(file, FLAGS, 0o600)
    const found = await handle.stat()
    if (found.uid === 0 && found.isFile() && found.nlink === 1 && found.size === 0) await giveToOwner(handle, path.dirname(file))
    return handle
  } catch (cause) {
    await handle?.close()
    const hint =
      (cause as NodeJS.ErrnoException).code === 'EACCES'
        ? `\`ls -l ${file}\` shows whose it is: give it to the user of the service`
        : undefined
    throw new KeylimeError('file_failed', `cannot open the lock ${file}: ${(cause as Error).message}`, { cause, ...(hint ? { hint } : {}) })
  }
}

/**
 * Runs `work` while this process alone holds the lock of `file` (flock(2), made when missing). The kernel releases it when the process ends, however it
 * ends, so no stale lock can be left. Callers of one process exclude one another too. @throws KeylimeError `unavailable` after `timeoutSeconds`.
 */
export async function withFileLock<T>(file: string, work: () => Promise<T>, timeoutSeconds = 30): Promise<T> {
  const handle = await openLock(file)
  try {
    const waiting = { clock: systemClock, timeoutSeconds, firstPauseMs: PAUSE_MS, longestPauseMs: PAUSE_MS }
    const locked = await poll(waiting, async () => (nativeAddon().tryLock(handle.fd) ? true : undefined))
    if (locked) return await work()
    throw new KeylimeError('unavailable', `another process has held ${file} for ${timeoutSeconds} s`, {
      hint: 'wait until it is done, or end it',
    })
  } finally {
    await handle.close()
  }
}
