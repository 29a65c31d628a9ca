import type { ClockInfo } from '../tpm/attest.ts'

/**
 * The TPM's clock must go on (policies B.2): reset and restart counters never decrease, the clock is safe, and it strictly increases unless
 * both counters grew. @returns undefined when it does, else what is wrong.
 */
export function clockDefect(now: ClockInfo, before: ClockInfo | null): string | undefined {
  if (!now.safe) return 'the TPM says that its clock may have gone back (safe flag is not set)'
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
