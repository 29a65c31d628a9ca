import { parseAgentId } from '../../../core/api/agent-id.ts'
import { type HistoryPage, MAX_HISTORY_PAGE } from '../../../core/api/history.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { isHistory, stateAfter } from '../../../core/events/history.ts'
import { readEvent } from '../../../core/events/verifier-event.ts'
import type { StoredHistory } from '../../../io/db/history-store.ts'
import type { Route } from '../../../io/http/route.ts'
import type { VerifierContext } from './verifier-context.ts'

const DEFAULT_LIMIT = 500

/** `GET /v2.x/history`, our own: what became of the machines, oldest first. Query: `agent`, `since`, `until` (ISO 8601), `after` (the `next` of the page before), `limit`. Machines that were deleted are there too. */
export function showHistory({ history }: Pick<VerifierContext, 'history'>): Route['handle'] {
  return async ({ query }) => {
    const agent = query.get('agent')
    const limit = wholeOf(query, 'limit', { max: MAX_HISTORY_PAGE, absent: DEFAULT_LIMIT })
    const found = await history.page({
      agentId: agent === null ? null : parseAgentId(agent),
      since: timeOf(query, 'since', 0),
      until: timeOf(query, 'until', Number.MAX_SAFE_INTEGER),
      after: wholeOf(query, 'after', { max: Number.MAX_SAFE_INTEGER, absent: 0 }),
      limit,
    })
    const last = found.length === limit ? found.at(-1)!.id : null
    return { results: { entries: found.map(shown), next: last } satisfies HistoryPage }
  }
}

function shown({ id, at, agentId, event }: StoredHistory): HistoryPage['entries'][number] {
  const known = readEvent(event)
  const state = known && isHistory(known) ? stateAfter(known) : ''
  return { id, time: new Date(at).toISOString(), agent_id: agentId, state, event: event as { type: string } }
}

function timeOf(query: URLSearchParams, name: string, absent: number): number {
  const text = query.get(name)
  if (text === null) return absent
  const time = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw new KeylimeError('invalid_request', `${name} is not a time in the form of ISO 8601`)
  return time
}

function wholeOf(query: URLSearchParams, name: string, { max, absent }: { max: number; absent: number }): number {
  const text = query.get(name)
  if (text === null) return absent
  const number = /^\d{1,16}$/.test(text) ? Number(text) : -1
  if (number < (name === 'limit' ? 1 : 0) || number > max)
    throw new KeylimeError('invalid_request', `${name} is not a whole number up to ${max}`)
  return number
}
