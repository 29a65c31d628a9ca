import type { HistoryEntry } from '../../../core/api/history.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { printable, printableJson } from '../../../core/printable.ts'
import { sinceTime } from '../../../core/text/since-time.ts'
import { noteLine, printDocument } from '../../../io/terminal/print.ts'
import { resolveAgentId } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { historyCsv, historyCsvHead, historyJson, historyLine } from './history-lines.ts'

export interface HistoryAsked {
  /** As the operator wrote them; undefined for no bound. */
  readonly since: string | undefined
  readonly until: string | undefined
  readonly form: 'text' | 'csv' | 'json'
  readonly quiet: boolean
}

const PAGE = 500

/** Prints what became of one machine, or of all, page by page: a long history needs no memory. @throws KeylimeError `usage`, `agent_not_found` for a machine that nobody knows and of which nothing is kept. */
export async function showHistory(context: TenantContext, { since, until, form, quiet }: HistoryAsked): Promise<number> {
  const { verifier, options, clock } = context
  const [from, before] = [since, until].map((text) =>
    text === undefined ? undefined : new Date(sinceTime(text, clock.now())).toISOString(),
  )
  const agent = options.agentId || options.targetHost ? await resolveAgentId(context, options) : undefined
  const query = { ...(agent ? { agent } : {}), ...(from ? { since: from } : {}), ...(before ? { until: before } : {}), limit: String(PAGE) }
  const render = { text: historyLine, csv: historyCsv, json: historyJson }[form]
  let shown = 0
  if (form === 'csv') await printDocument(`${historyCsvHead}\n`)
  for (let after: number | null = 0; after !== null; ) {
    const { entries, next }: { entries: HistoryEntry[]; next: number | null } = await verifier.history({ ...query, after: String(after) })
    shown += entries.length
    const lines = entries.map((entry) => `${form === 'json' ? printableJson(render(entry)) : printable(render(entry))}\n`)
    if (lines.length > 0) await printDocument(lines.join(''))
    after = next
  }
  if (shown === 0 && agent && !(await verifier.agent(agent)) && from === undefined && before === undefined)
    throw new KeylimeError('agent_not_found', `nothing is known about agent ${agent}: it was never enrolled, or its history is too old`, {
      hint: '`keylime tenant list` shows the machines; history_days and history_rows of verifier.conf say how much is kept',
    })
  if (shown === 0 && !quiet && form === 'text') noteLine('nothing happened in that time')
  return 0
}
