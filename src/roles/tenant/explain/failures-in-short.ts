import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { isOperationalState, stateText } from '../../../core/attestation/operational-state.ts'
import { explainFailure } from '../../../core/explanation/explain-failure.ts'
import { printable } from '../../../core/printable.ts'

type Failure = NonNullable<AgentStatus['failures']>[number]

const SHOWN = 3
const MAX_EXPECTED = 5
const MAX_CHANGE = 200

/** The first failures of an agent in short, one to a paragraph; verifiers of upstream give only the id of the last. */
export function failuresInShort(status: AgentStatus): string {
  const failures = status.failures ?? []
  const more = failures.length - SHOWN
  if (failures.length > 0) return [...failures.slice(0, SHOWN).flatMap(inShort), ...(more > 0 ? [`  and ${more} more`] : [])].join('\n')
  const state = isOperationalState(status.operational_state) ? stateText(status.operational_state) : String(status.operational_state)
  return `  ${status.last_event_id || 'no reason given'} (state: ${state})`
}

/** Whether the verifier keeps the whole story: it is one of ours, and it judged evidence. */
export const hasStory = ({ failures }: AgentStatus): boolean => (failures ?? []).some(({ event_id }) => !event_id.startsWith('internal.'))

function inShort(failure: Failure): string[] {
  const { found, expected, expectedCount, accept, noChange, lookAt } = explainFailure(failure.event_id, {
    ...failure.context,
    message: failure.context.message ?? '',
  })
  const shown = expected.slice(0, MAX_EXPECTED)
  const more = expectedCount > shown.length ? ` and ${expectedCount - shown.length} more` : ''
  const lines = [
    `${failure.context.message ?? failure.event_id} [${failure.event_id}${failure.severity_label ? `, ${failure.severity_label}` : ''}]`,
    ...(found === null ? [] : [`  found:    ${found}`]),
    ...(shown.length === 0 ? [] : [`  expected: ${shown.join(', ')}${more}`]),
    `  change:   ${accept ? shortened(JSON.stringify(accept)) : `none: ${noChange}`}`,
    `  look at:  ${lookAt}`,
  ]
  return lines.map((line) => `  ${printable(line)}`)
}

const shortened = (text: string) => (text.length > MAX_CHANGE ? `${text.slice(0, MAX_CHANGE)}…` : text)
