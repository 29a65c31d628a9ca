import type { JudgedFailure } from '../verdict/severity.ts'

/** A policy as it judged: its content is known by the checksum, whatever the name holds today. */
export interface PolicyRef {
  name: string
  /** SHA-256 of its text. */
  sha256: string
}

/** By what a round was judged. */
export interface Judges {
  /** JSON text with its mask. */
  tpmPolicy: string
  /** PCRs that were asked for. */
  pcrs: readonly number[]
  /** Bank and hash of the quote as the agent said; empty when its answer was none. */
  hashAlg: string
  runtimePolicy: PolicyRef | null
  mbPolicy: PolicyRef | null
  /** `measured_boot_policy_name` */
  bootPolicy: string
}

/** The last attestation of an agent that failed, as it is kept. */
export interface FailedRound {
  /** Milliseconds since the epoch. */
  at: number
  failures: JudgedFailure[]
  judges: Judges
  /** Good attestations since enrolment, before this one. */
  attestationCount: number
  /** Seconds since the epoch of the last good one; 0 when there was none. */
  lastGood: number
  /** What the agent sent, with all that is needed to judge it again; compressed. Null when it was not kept. */
  evidence: Buffer | null
  /** Logs that were left out because they were too large; `evidence` for all of it. */
  cut: string[]
}
