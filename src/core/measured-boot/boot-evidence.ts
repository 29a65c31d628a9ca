import type { Effort } from '../concurrency/effort.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import type { HashName } from '../tpm/algorithms.ts'
import type { Failure } from '../verdict/failure.ts'

export interface BootEvidence {
  pcrs: VerifiedPcrs
  /** TCG event log as the agent sent it; null when it sent none. */
  log: Buffer | null
  /** Log of what systemd has measured since the boot; null when the agent sent none. */
  systemdLog?: string | null | undefined
  /** Whether the reference state is compared, or only the log replayed (`measured_boot_evaluate`). */
  evaluate: boolean
  /** Where others wait: the judgement throws `TooMuchEffort` when it becomes too much. */
  effort?: Effort | undefined
}

/** What the kernel may have for a boot_aggregate after this boot, reckoned when it is asked for. */
export type BootAggregates = Iterable<{ hash: HashName; digest: string }>

/** A measured boot policy, parsed once and shared. */
export interface BootPolicy {
  /** PCRs without which it judges nothing: they are quoted whatever else is asked for. */
  readonly pcrs: readonly number[]
  judge(evidence: BootEvidence): { failures: Failure[]; bootAggregates: BootAggregates }
}
