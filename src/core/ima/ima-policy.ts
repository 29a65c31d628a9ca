import type { Effort } from '../concurrency/effort.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import type { HashName } from '../tpm/algorithms.ts'
import type { Failure } from '../verdict/failure.ts'

/** How far an IMA log was judged; kept over restarts, so that each round sends only what is new (policies A.7). */
export interface ImaProgress {
  /** Entry of the log with which the next reply must begin. */
  nextEntry: number
  /** Running value of PCR 10 before that entry, by the bank of the quotes; null before the first entry. */
  pcr10: Buffer | null
  /** Boot time that the agent reported; 0 when it reports none. */
  bootTime: number
  /** What the evaluation learned on the way (keyrings, device-mapper state): opaque JSON text. */
  learned: string
  /** Line of the last match and length of the log then, for the rule that a match must make progress. */
  lastMatch: { line: number; length: number } | null
}

export const FRESH_IMA: ImaProgress = { nextEntry: 0, pcr10: null, bootTime: 0, learned: '', lastMatch: null }

export interface ImaEvidence {
  pcrs: VerifiedPcrs
  /** Lines from entry `progress.nextEntry` on. */
  list: string
  progress: ImaProgress
  /** boot_aggregate values that the verified boot log gives; empty without one. */
  bootAggregates: Iterable<{ hash: HashName; digest: string }>
  /** Where others wait: the judgement throws `TooMuchEffort` when it becomes too much. */
  effort?: Effort | undefined
}

/** A runtime policy, parsed once and shared by all its agents. */
export interface ImaPolicy {
  judge(evidence: ImaEvidence): { failures: Failure[]; progress: ImaProgress }
}
