import { boundRound } from './bounded-round.ts'
import type { Failure } from './failure.ts'

export interface SeverityRule {
  /** Matches the whole event id. */
  eventId: RegExp
  label: string
}

/** Labels from low to high, and rules of which the first that matches decides (policies D.2). */
export interface SeverityPolicy {
  labels: readonly string[]
  rules: readonly SeverityRule[]
}

export const DEFAULT_SEVERITY: SeverityPolicy = {
  labels: ['info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'],
  rules: [{ eventId: /^(?:.*)$/s, label: 'emergency' }],
}

export interface JudgedFailure extends Failure {
  severityLabel: string
  /** Index of the label: 0 is the lowest. */
  severity: number
}

/** What a round's failures mean together. */
export interface Judgement {
  /** As many as are kept of one round. */
  failures: JudgedFailure[]
  /** The first one of the highest severity: it names the round. */
  worst: JudgedFailure
  /** Whether polling may go on: everything recoverable, and below the highest label. */
  recoverable: boolean
}

/** @param failures at least one. Unknown labels and ids without a rule count as the highest label. */
export function judge(failures: readonly Failure[], policy: SeverityPolicy): Judgement {
  const highest = policy.labels.length - 1
  const judged = failures.map((f): JudgedFailure => {
    const label = f.recoverable ? policy.rules.find((rule) => rule.eventId.test(f.eventId))?.label : undefined
    const index = label === undefined ? -1 : policy.labels.indexOf(label)
    const severity = index < 0 ? highest : index
    return { ...f, severity, severityLabel: policy.labels[severity]! }
  })
  const worst = judged.reduce((a, b) => (b.severity > a.severity ? b : a))
  const recoverable = judged.every((f) => f.recoverable) && worst.severity < highest
  const kept = boundRound(judged, worst)
  return { failures: kept, worst: kept.find(({ severity }) => severity === worst.severity)!, recoverable }
}
