import type { EvidenceVerdict } from '../attestation/verify-evidence.ts'
import { FRESH_IMA } from '../ima/ima-policy.ts'
import { type Failure, irrecoverable } from '../verdict/failure.ts'

export interface Excess {
  what: 'time' | 'memory'
  /** Of the answer. */
  bytes: number
  /** Processor time that it may take. */
  seconds: number
}

const OVER_BUDGET = 'verifier.judging_budget'

/** Of what is judged in time, milliseconds; 0 where it was memory that did not suffice, null for any other failure. */
export function budgetMsOf({ eventId, context }: Failure): number | null {
  if (eventId !== `internal.${OVER_BUDGET}`) return null
  return typeof context['seconds'] === 'number' ? context['seconds'] * 1000 : 0
}

/**
 * The verdict on evidence that cannot be judged within bounds. Irrecoverable: whoever could make judging impossible and be let pass would never be judged
 * again, and the others must hear of it.
 */
export function overBudget({ what, bytes, seconds }: Excess): EvidenceVerdict {
  const size = `${(bytes / (1 << 20)).toFixed(1)} MiB`
  const message =
    what === 'time'
      ? `the evidence, ${size}, could not be judged in ${seconds} s of processor time: it has too many entries or signatures, or was made to take long`
      : `the evidence, ${size}, needs more memory to be judged than any honest machine's`
  return {
    outcome: 'failed',
    failures: [irrecoverable('internal', OVER_BUDGET, { message, bytes, ...(what === 'time' ? { seconds } : {}) })],
    ima: FRESH_IMA,
  }
}
