import type { SeenEvent } from './see-events.ts'

/** Why a boot log is not what the reference state wants. */
export interface Finding {
  /** Null when something is missing from the log. */
  seen: SeenEvent | null
  /** A sentence that follows "the kernel command line (event 41, PCR 8)"; a whole one without an event. */
  reason: string
  /** What was found, if it is not the digest of the event. */
  got?: unknown
  expected?: readonly string[]
  /** The smallest partial reference state that would accept it, and what accepting it means. */
  accept?: Record<string, unknown>
  meaning?: string
}
