import { nativeAddon } from './native/native-addon.ts'

const LOOK_MS = 10_000
/** Less is not worth the look through the whole heap. */
const GROWN = 1.02

export interface FreedMemoryOptions {
  /** Of this process, in bytes. */
  resident?(): number
  trim?(): void
}

/**
 * Gives back what lies free between blocks that are in use. A thousand machines that come in one moment leave some megabytes of it: what their requests took for a moment lies between what their connections
 * keep. Looked at each ten seconds, done only when the process has grown since the last time.
 */
export function giveBackFreedMemory({ resident = process.memoryUsage.rss, trim = nativeAddon().trimHeap }: FreedMemoryOptions = {}): {
  stop(): void
} {
  let before = resident()
  const look = () => {
    const now = resident()
    if (now < before * GROWN) before = Math.min(before, now)
    else {
      trim()
      before = resident()
    }
  }
  const timer = setInterval(look, LOOK_MS).unref()
  return { stop: () => clearInterval(timer) }
}
