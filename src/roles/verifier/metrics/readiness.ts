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
  /** What other verifiers of the same database do is not known. */
  isDown: boolean
  /** Certificates that have ended, by their names. */
  ended: readonly string[]
}

/** A lag of this many intervals, and more than these seconds, is one. */
const LATE_INTERVALS = 3
const MIN_LATE_SECONDS = 10

/** Why a verifier cannot do its work now, each reason as a sentence for an operator; empty when it can. No reason names a machine. */
export function whyNotReady({ serves, overdue, lateSeconds, quoteInterval, unwritable, isDown, ended }: Standing): string[] {
  if (serves === null) return ['it is starting: the stored machines are being loaded']
  const isLate = lateSeconds > Math.max(MIN_LATE_SECONDS, LATE_INTERVALS * quoteInterval)
  return [
    ...(serves ? [] : ['it is stopping']),
    ...(unwritable === null ? [] : [`the database cannot be written: ${unwritable}`]),
    ...(isDown ? ['what other verifiers do is not known: the log says why'] : []),
    ...ended.map((name) => `the ${name} certificate has ended`),
    ...(overdue > 0 ? [`${overdue} machines have not been judged in time: the log names them`] : []),
    ...(isLate ? [`attestations are ${lateSeconds.toFixed(0)} s late: there are more machines than this verifier can ask`] : []),
  ]
}
