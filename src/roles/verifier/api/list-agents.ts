import { setImmediate as turn } from 'node:timers/promises'
import type { Route } from '../../../io/http/route.ts'
import { agentView } from './agent-view.ts'
import type { VerifierContext } from './verifier-context.ts'

type Page = Awaited<ReturnType<VerifierContext['store']['page']>>
type Used = Pick<VerifierContext, 'store' | 'agents' | 'settings'>

/** Records that are read and printed in one turn of the event loop. */
const PAGE = 200

/** `GET /v2.x/agents/`: ids in upstream's one-element lists, or with `bulk=True` the status of each by id (protocol 3.1). */
export function listAgents(used: Used): Route['handle'] {
  const { verifierId } = used.settings
  return async ({ query }) => {
    const asked = query.get('verifier')
    const isOurs = !asked || asked === verifierId
    if (query.get('bulk')?.toLowerCase() === 'true')
      return isOurs ? { raw: { type: 'application/json', body: bulk(used, await used.store.page('', PAGE)) } } : { results: {} }
    return { results: { uuids: isOurs ? (await used.store.ids()).map((id) => [id]) : [] } }
  }
}

/**
 * Written piece by piece: ten thousand agents must not hold up the attestation of any.
 * @param first page, read before the answer begins: where the database is away, that is the answer.
 */
async function* bulk({ store, agents, settings }: Used, first: Page): AsyncGenerator<Buffer> {
  yield Buffer.from('{"code":200,"status":"Success","results":{')
  let after = ''
  for (let records = first; ; records = await store.page(after, PAGE)) {
    const members = records.map(
      (record) => `${JSON.stringify(record.agentId)}:${JSON.stringify(agentView(record, settings, agents.get(record.agentId)))}`,
    )
    if (members.length > 0) yield Buffer.from(`${after === '' ? '' : ','}${members.join(',')}`)
    if (records.length < PAGE) break
    after = records.at(-1)!.agentId
    await turn()
  }
  yield Buffer.from('}}')
}
