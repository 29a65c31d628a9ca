import { setImmediate as turn } from 'node:timers/promises'
import type { AuthorityReport } from '../../../core/api/authority-report.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { comesBy, type StoredAgent, type StoredRecord } from '../../../core/attestation/stored-agent.ts'
import type { Route } from '../../../io/http/route.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { Authorities } from '../authorities/authorities.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'store' | 'agents' | 'authorities' | 'followers'>

const PAGE = 200

/** `GET /v2.x/authorities`, our own: which machines are not known to believe the authority that signs, and why (decision 64). */
export function showAuthorities(used: Used): Route['handle'] {
  return async () => {
    const { current } = used.authorities
    if (!current) return { results: { authority: null, finished: true, behind: [] } satisfies AuthorityReport }
    const { next, key, introduction } = current
    const behind = await behindOf(used, current)
    return {
      results: { authority: { subject: next.subject, key }, finished: introduction.bridge === null, behind } satisfies AuthorityReport,
    }
  }
}

async function behindOf({ store, agents, followers }: Used, { key }: Authorities): Promise<AuthorityReport['behind']> {
  const known = await followers.of(key)
  const behind: AuthorityReport['behind'] = []
  for (let after = ''; ; await turn()) {
    const records = await store.page(after, PAGE)
    for (const record of records)
      if (!known.has(record.agentId) && believesAuthorities(record))
        behind.push({ agent_id: record.agentId, reason: reasonOf(record, agents.get(record.agentId)) })
    if (records.length < PAGE) return behind
    after = records.at(-1)!.agentId
  }
}

/** Over TLS machine and verifier know each other by an authority, whoever of them calls. */
function believesAuthorities(record: StoredRecord): boolean {
  if (!('agent' in record)) return true
  const { enrolment } = record.agent
  return comesBy(enrolment) === 'push' || enrolment.mtlsCertificate !== null
}

function reasonOf(record: StoredRecord, agent: ManagedAgent | undefined): string {
  if (!('agent' in record)) return 'its record cannot be read'
  const { state } = agent ?? record.agent
  if (comesBy(record.agent.enrolment) === 'push') return agent?.authorityRefusal ?? 'it has not come since: it is told when it comes'
  if (!state.polled) return `it is not asked any more, ${wordOf(state)}`
  if (state.operational === OPERATIONAL_STATE.FAILED) return 'it is unreachable'
  if (agent?.authorityRefusal) return agent.authorityRefusal
  return agent && agent.retries > 0 ? 'it does not answer now' : 'it was not told yet'
}

const wordOf = ({ operational }: StoredAgent['state']) =>
  operational === OPERATIONAL_STATE.TENANT_FAILED ? 'it was stopped' : 'it has failed'
