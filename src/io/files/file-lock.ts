import fs from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeylimeError } from '../../core/errors.ts'
import { nativeAddon } from '../native/native-addon.ts'

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
    const end = performance.now() + timeoutSeconds * 1000
    while (!nativeAddon().tryLock(handle.fd)) {
      if (performance.now() > end) {
        throw new KeylimeError('unavailable', `another process has held ${file} for ${timeoutSeconds} s`, {
          hint: 'wait until it is done, or end it',
        })
      }
      await sleep(PAUSE_MS)
    }
    return await work()
  } finally {
    await handle.close()
  }
}
