import fs from 'node:fs/promises'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { poll } from '../poll.ts'

const PAUSE_MS = 20

/**
 * Runs `work` while this process alone holds the lock of `file` (flock(2), made when missing). The kernel releases it when the process ends, however it
 * ends, so no stale lock can be left. Callers of one process exclude one another too. @throws KeylimeError `unavailable` after `timeoutSeconds`.
 */
export async function withFileLock<T>(file: string, work: () => Promise<T>, timeoutSeconds = 30): Promise<T> {
  const handle = await fs.open(file, 'a', 0o600).catch((cause: Error) => {
    throw new KeylimeError('file_failed', `cannot open the lock ${file}: ${cause.message}`, { cause })
  })
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
