import type { HistoryEntry } from '../../../core/api/history.ts'
import { eventText } from '../../../core/events/event-text.ts'
import { readEvent } from '../../../core/events/verifier-event.ts'
import { csvLine } from '../../../core/text/csv.ts'

/** One entry as a sentence; what a newer verifier wrote by the name of its event. */
export const historyLine = (entry: HistoryEntry): string =>
  `${entry.time.replace(/\.\d+Z$/, 'Z')}  ${entry.state.padEnd(11)}  ${wordsOf(entry)}`

function wordsOf({ agent_id: agentId, event }: HistoryEntry): string {
  const known = readEvent(event)
  return known ? eventText(known) : `agent ${agentId}: ${event.type}`
}

const HEAD = ['time', 'agent_id', 'state', 'event', 'failures', 'operator', 'operator_address', 'text']

export const historyCsvHead = csvLine(HEAD)

/** For an auditor: these columns in this order; several failures are separated by blanks. */
export function historyCsv(entry: HistoryEntry): string {
  const operator = memberOf(entry.event['operator'])
  return csvLine([
    entry.time,
    entry.agent_id,
    entry.state,
    entry.event.type,
    failureIds(entry).join(' '),
    textOf(operator['common_name']),
    textOf(operator['address']),
    wordsOf(entry),
  ])
}

/** One object a line. */
export const historyJson = (entry: HistoryEntry): string =>
  JSON.stringify({ result: 'history', ...entry, failure_ids: failureIds(entry), text: wordsOf(entry) })

function failureIds({ event }: HistoryEntry): string[] {
  const failures = Array.isArray(event['failures']) ? event['failures'] : []
  return failures.map((failure) => textOf(memberOf(failure)['event_id'])).filter((id) => id !== '')
}

const memberOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
