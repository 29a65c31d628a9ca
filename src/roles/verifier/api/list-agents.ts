import { setImmediate as turn } from 'node:timers/promises'
import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'store' | 'agents' | 'leasing' | 'settings'>

/** Records that are read and printed in one turn of the event loop. */
const PAGE = 200

interface Page {
  readonly records: Awaited<ReturnType<Used['store']['page']>>
  readonly holderOf: Awaited<ReturnType<Used['leasing']['holders']>>
}

/** `GET /v2.x/agents/`: ids in upstream's one-element lists, or with `bulk=True` the status of each by id (protocol 3.1); with `verifier` those alone that the verifier of this name attests. */
export function listAgents(used: Used): Route['handle'] {
  return async ({ query }) => {
    const asked = query.get('verifier') || null
    if (query.get('bulk')?.toLowerCase() === 'true')
      return { raw: { type: 'application/json', body: bulk(used, asked, await pageAfter(used, '')) } }
    const ids = await used.store.ids()
    const holderOf = asked === null ? null : await used.leasing.holders(ids)
    return { results: { uuids: ids.filter((id) => !holderOf || holderOf(id) === asked).map((id) => [id]) } }
  }
}

/**
 * Written piece by piece: ten thousand agents must not hold up the attestation of any.
 * @param first page, read before the answer begins: where the database is away, that is the answer.
 */
async function* bulk(used: Used, asked: string | null, first: Page): AsyncGenerator<Buffer> {
  yield Buffer.from('{"code":200,"status":"Success","results":{')
  let comma = ''
  for (let page = first; ; page = await pageAfter(used, page.records.at(-1)!.agentId)) {
    const members = membersOf(used, page, asked)
    if (members.length > 0) {
      yield Buffer.from(`${comma}${members.join(',')}`)
      comma = ','
    }
    if (page.records.length < PAGE) break
    await turn()
  }
  yield Buffer.from('}}')
}

async function pageAfter({ store, leasing }: Used, after: string): Promise<Page> {
  const records = await store.page(after, PAGE)
  return { records, holderOf: await leasing.holders(records.map(({ agentId }) => agentId)) }
}

const membersOf = ({ agents, settings: { quoteInterval } }: Used, { records, holderOf }: Page, asked: string | null): string[] =>
  records.flatMap((record) => {
    const { agentId } = record
    const verifierId = holderOf(agentId)
    if (asked !== null && verifierId !== asked) return []
    return [`${JSON.stringify(agentId)}:${JSON.stringify(agentView(record, { verifierId, quoteInterval }, agents.get(agentId)))}`]
  })
