import { systemClock } from '../clock.ts'
import type { NativeTpmError } from '../native/native-addon.ts'
import { poll } from '../poll.ts'

/**
 * Warnings with which a TPM says that it did nothing and shall be asked again (Part 2, section 6.6.3): YIELDED, TESTING, NV_RATE, RETRY,
 * NV_UNAVAILABLE.
 */
const BUSY = [0x908, 0x90a, 0x920, 0x922, 0x923]

/** The driver and libtss2 have asked it five times by then, without a pause. */
const PATIENCE = { timeoutSeconds: 10, firstPauseMs: 20, longestPauseMs: 500 }

/** Runs a command, and again as long as the TPM is busy, for some seconds. @throws what the command does, in the end the warning. */
export async function whenReady<T>(run: () => Promise<T>): Promise<T> {
  let last: unknown
  const done = await poll({ clock: systemClock, ...PATIENCE }, async () => {
    try {
      return { result: await run() }
    } catch (error) {
      if (!isBusy(error as NativeTpmError)) throw error
      last = error
      return undefined
    }
  })
  if (done) return done.result
  throw last
}

/** A resource manager tells the same in a layer of its own. */
const isBusy = ({ rc }: NativeTpmError): boolean => rc !== undefined && BUSY.includes(rc & 0xfff) && (rc & 0x80) === 0
