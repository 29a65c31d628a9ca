import { setImmediate as turn } from 'node:timers/promises'
import type { ReportedRevocation } from '../../../core/api/revocation-report.ts'
import { type DeliveryState, type RevocationStore, type RevocationSummary, SHOWN_REVOCATIONS } from '../../../io/db/revocation-store.ts'
import type { Route } from '../../../io/http/route.ts'
import type { VerifierContext } from './verifier-context.ts'

/** Deliveries that are read and printed in one turn of the event loop. */
const PAGE = 500

/** `GET /v2.x/revocations`, our own: of each revocation who was told, when, and who not yet. It comes in pieces: there may be a row for each of many agents in each. */
export function listRevocations({ revocations }: Pick<VerifierContext, 'revocations'>): Route['handle'] {
  return async () => ({ raw: { type: 'application/json', body: pieces(revocations, await revocations.newest(SHOWN_REVOCATIONS)) } })
}

/** @param newest read before the answer begins: where the database is away, that is the answer. */
async function* pieces(store: RevocationStore, newest: readonly RevocationSummary[]): AsyncGenerator<Buffer> {
  yield Buffer.from('{"code":200,"status":"Success","results":{"revocations":[')
  let first = true
  for (const summary of newest) {
    yield Buffer.from(`${first ? '' : ','}${JSON.stringify(await reported(store, summary))}`)
    first = false
  }
  yield Buffer.from(']}}')
}

async function reported(store: RevocationStore, { id, agentId, type, createdAt }: RevocationSummary): Promise<ReportedRevocation> {
  const report: ReportedRevocation = { id, agent_id: agentId, type, time: iso(createdAt), told: [], refused: [], pending: [], given_up: [] }
  let after = ''
  for (;;) {
    const page = await store.deliveries(id, after, PAGE)
    for (const delivery of page) sort(report, delivery)
    if (page.length < PAGE) return report
    after = page.at(-1)!.target
    await turn()
  }
}

function sort(report: ReportedRevocation, { target, state, attempts, at, lastError }: DeliveryState): void {
  if (state === 'told') report.told.push({ target, time: iso(at) })
  else if (state === 'acted' || state === 'failed') report.told.push({ target, time: iso(at), outcome: state, last_error: lastError })
  else if (state === 'refused') report.refused?.push({ target, last_error: lastError })
  else if (state === 'pending') report.pending.push({ target, attempts, last_error: lastError })
  else report.given_up.push({ target, last_error: lastError })
}

const iso = (at: number) => new Date(at).toISOString()
