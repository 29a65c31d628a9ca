import { nativeAddon } from '../native/native-addon.ts'
import { openLock } from './file-lock.ts'

/** The lock of a file, until it is released or the process ends, however it ends: the kernel leaves no stale one behind. */
export interface HeldLock {
  release(): Promise<void>
}

/** Takes the lock of `file` (flock(2), made when missing) for as long as a service runs. @returns null when another process holds it. */
export async function holdLock(file: string): Promise<HeldLock | null> {
  const handle = await openLock(file)
  if (nativeAddon().tryLock(handle.fd)) return { release: () => handle.close() }
  await handle.close()
  return null
}
