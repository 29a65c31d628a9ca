import type { Findings } from '../../config/collect-findings.ts'
import type { Environment } from '../../config/files.ts'
import type { ConfiguredRole } from '../../config/tables.ts'
import type { Finding } from './finding.ts'
import type { Whereabouts } from './whereabouts.ts'

/** What a check is about. */
export interface Subject {
  readonly role: ConfiguredRole
  readonly env: Environment
  readonly where: Whereabouts
  /** Prefix of /proc, /sys and /dev; empty on a running machine. */
  readonly root: string
  /** Milliseconds since the epoch. */
  now(): number
  /** `--check-config` of the role. */
  checkConfig(): Promise<Findings>
  /** Milliseconds that the check has. */
  readonly limitMs: number
  /** Aborted when the time of the check is over: what it has started ends. */
  readonly signal: AbortSignal
}

/** Looks, and says what it saw. @throws KeylimeError for what it could not look at. */
export type Check = (subject: Subject) => Promise<Finding[]>
