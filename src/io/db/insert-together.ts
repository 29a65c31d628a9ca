import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { agentRow, alreadyThere, type EnrolmentChange, policyMissing, type UsedPolicies, usesOf } from './enrolment-change.ts'
import type { HistoryStore } from './history-store.ts'
import type { PolicyKind } from './policy-store.ts'
import { seamOf } from './seam.ts'
import { encodeProgress } from './verifier-rows.ts'
import { AGENT, type Tables, upsertProgress } from './verifier-statements.ts'

/**
 * Stores plain enrolments, as if one came after the other, in as many statements for a hundred as for two. Part of a transaction, in which nobody else changes anything.
 * @returns for each what `VerifierStore.insert` returns, or throws.
 */
export async function insertTogether(
  transaction: Kysely<Tables>,
  enrolled: readonly EnrolmentChange[],
  history: HistoryStore,
): Promise<(UsedPolicies | KeylimeError)[]> {
  const { agents, digestOf } = await lookUp(transaction, enrolled)
  const results = enrolled.map(({ enrolment }) => {
    if (agents.has(enrolment.agentId)) return alreadyThere(enrolment.agentId)
    const used = { runtime: null as string | null, mb: null as string | null }
    for (const { kind, name } of usesOf(enrolment)) {
      used[kind] = digestOf(kind, name)
      if (used[kind] === null) return policyMissing(name)
    }
    agents.add(enrolment.agentId)
    return used
  })
  const good = enrolled.filter((_, i) => !(results[i] instanceof KeylimeError))
  if (good.length > 0) await insertAll(transaction, good, history)
  return results
}

async function insertAll(transaction: Kysely<Tables>, enrolled: readonly EnrolmentChange[], history: HistoryStore): Promise<void> {
  const { rows } = seamOf(transaction)
  await sql`insert into agents (${columns(AGENT)}) ${rows(enrolled.map(agentRow), AGENT)}`.execute(transaction)
  await upsertProgress(
    transaction,
    enrolled.map(({ enrolment, progress }) => encodeProgress(enrolment.agentId, progress)),
  )
  const uses = enrolled.flatMap(({ enrolment }) => usesOf(enrolment))
  if (uses.length > 0) await sql`insert into policy_uses (${columns(USE)}) ${rows(uses, USE)}`.execute(transaction)
  await history.add(
    transaction as never,
    enrolled.flatMap(({ events = [] }) => events),
  )
}

/** Which of the machines are enrolled, and what the names of policies stand for. */
async function lookUp(transaction: Kysely<Tables>, enrolled: readonly EnrolmentChange[]) {
  const ids = enrolled.map(({ enrolment }) => ({ agent_id: enrolment.agentId }))
  const names = new Map(enrolled.flatMap(({ enrolment }) => usesOf(enrolment)).map((use) => [keyOf(use.kind, use.name), use]))
  const { rows } = seamOf(transaction)
  // The order of "cross join" is one that SQLite keeps: each is looked up by its key.
  const found = await sql<{ kind: PolicyKind | null; name: string; digest: string }>`
    with ids(agent_id) as (${rows(ids, { agent_id: 'text' })}), names(kind, name) as (${rows([...names.values()], NAME)})
    select null as kind, a.agent_id as name, null as digest from ids cross join agents as a where a.agent_id = ids.agent_id
    union all select p.kind, p.name, p.digest from names cross join policies as p where p.kind = names.kind and p.name = names.name`.execute(
    transaction,
  )
  const digests = new Map(found.rows.map(({ kind, name, digest }) => [kind && keyOf(kind, name), digest]))
  return {
    agents: new Set(found.rows.flatMap(({ kind, name }) => (kind === null ? [name] : []))),
    digestOf: (kind: PolicyKind, name: string) => digests.get(keyOf(kind, name)) ?? null,
  }
}

const keyOf = (kind: PolicyKind, name: string) => `${kind} ${name}`

const NAME = { kind: 'text', name: 'text' } as const
const USE = { agent_id: 'text', ...NAME } as const
const columns = (of: object) => sql.join(Object.keys(of).map((name) => sql.ref(name)))
