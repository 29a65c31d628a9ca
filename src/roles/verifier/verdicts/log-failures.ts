import { explainFailure } from '../../../core/explanation/explain-failure.ts'
import type { JudgedFailure } from '../../../core/verdict/severity.ts'
import type { Logger } from '../../../io/log/logger.ts'

const MAX_VALUE = 300
const MAX_EXPECTED = 3

/** One bounded line for each failure of a verdict: the agent, what failed, what was found and what would have been accepted. */
export function logFailures(logger: Logger, agentId: string, failures: readonly JudgedFailure[]): void {
  for (const { eventId, severityLabel, context } of failures) {
    const { what, found, expected, expectedCount } = explainFailure(eventId, context)
    const shown = expected.slice(0, MAX_EXPECTED).map(bounded)
    const more = expectedCount > shown.length ? ` and ${expectedCount - shown.length} more` : ''
    logger.error(`agent ${agentId} failed attestation: ${eventId}: ${bounded(context.message)}`, {
      severity: severityLabel,
      what: bounded(what),
      ...(found === null ? {} : { found: bounded(found) }),
      ...(shown.length > 0 ? { expected: `${shown.join(', ')}${more}` } : {}),
    })
  }
}

const bounded = (text: string) => (text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text)
