import type { ClockInfo } from '../tpm/attest.ts'

/**
 * The TPM's clock must go on (policies B.2): reset and restart counters never decrease, and within one reset the clock strictly increases.
 *
 * A TPM that lost power without a shutdown says that its clock is not safe until it has passed what it may have shown before, on some TPMs for an
 * hour. At first contact, and after a reset that the reset counter proves, that is what a crashed machine looks like, and it is accepted: the flag
 * speaks of earlier values, and freshness rests on the nonce. Within a reset that was safe before, an unsafe clock is refused. @returns undefined when all is well, else what is wrong.
 */
export function clockDefect(now: ClockInfo, before: ClockInfo | null): string | undefined {
  if (!now.safe && !isAfterCrash(now, before)) return 'the TPM says that its clock may have gone back (safe flag is not set)'
  if (!before) return undefined
  if (now.resetCount < before.resetCount)
    return `the TPM's reset counter went back from ${before.resetCount} to ${now.resetCount}: another TPM, or an old quote`
  if (now.restartCount < before.restartCount && now.resetCount === before.resetCount)
    return `the TPM's restart counter went back from ${before.restartCount} to ${now.restartCount}`
  if (now.resetCount > before.resetCount) return undefined
  if (now.clock <= before.clock)
    return `the TPM's clock did not advance since the last quote (${before.clock} ms then, ${now.clock} ms now)`
  return undefined
}

/** No earlier value is known, the reset happened since the last good quote, or that quote was in the same unsafe stretch after it. */
const isAfterCrash = (now: ClockInfo, before: ClockInfo | null): boolean =>
  before === null || now.resetCount > before.resetCount || (now.resetCount === before.resetCount && !before.safe)
