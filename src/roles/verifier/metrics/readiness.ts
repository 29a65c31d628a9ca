import { isKeylimeError } from '../../../core/errors.ts'

/** How it stands with what a verifier needs to do its work. */
export interface Standing {
  /** Null while it starts. */
  serves: boolean | null
  /** Machines that were not judged in time. */
  overdue: number
  /** How long the machine that has waited longest has been due. */
  lateSeconds: number
  /** Seconds between two attestations. */
  quoteInterval: number
  /** Why the last commit failed; null when it did not. */
  unwritable: string | null
  /** Certificates that have ended, by their names. */
  ended: readonly string[]
}

/** A lag of this many intervals, and more than these seconds, is one. */
const LATE_INTERVALS = 3
const MIN_LATE_SECONDS = 10

/** Why a verifier cannot do its work now, each reason as a sentence for an operator; empty when it can. No reason names a machine. */
export function whyNotReady({ serves, overdue, lateSeconds, quoteInterval, unwritable, ended }: Standing): string[] {
  if (serves === null) return ['it is starting: the stored machines are being loaded']
  const isLate = lateSeconds > Math.max(MIN_LATE_SECONDS, LATE_INTERVALS * quoteInterval)
  return [
    ...(serves ? [] : ['it is stopping']),
    ...(unwritable === null ? [] : [`the database cannot be written: ${unwritable}`]),
    ...ended.map((name) => `the ${name} certificate has ended`),
    ...(overdue > 0 ? [`${overdue} machines have not been judged in time: the log names them`] : []),
    ...(isLate ? [`attestations are ${lateSeconds.toFixed(0)} s late: there are more machines than this verifier can ask`] : []),
  ]
}

/** Of an error of the database: a machine's id may be in the message of a refusal, and then the database is well. */
export const unwritableBy = (error: unknown): string | null =>
  error === null || isKeylimeError(error) ? null : ((error as NodeJS.ErrnoException).code ?? 'unknown reason')
