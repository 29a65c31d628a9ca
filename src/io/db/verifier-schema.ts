import { type Kysely, sql } from 'kysely'
import { markTables } from './database-mark.ts'
import { DEFERRED_NOTICES } from './deferred-notices.ts'
import { FAILED_ROUND_TABLES } from './failed-round-store.ts'
import { FOLLOWER_TABLES } from './follower-store.ts'
import { HISTORY_TABLES } from './history-store.ts'
import { MAILBOX_LEFTOVERS, MAILBOX_TABLES } from './mailbox-store.ts'
import type { Migration } from './migrate.ts'
import { POLICY_PIECES } from './policy-bodies.ts'
import { POLICY_TABLES } from './policy-store.ts'
import { ORDERED_INDEX, ORDERED_REVOCATIONS, REVOCATION_TABLES, VERIFIER_SIGNATURES } from './revocation-tables.ts'
import { UNTOLD_EVENTS } from './untold-events.ts'

interface OldAgent {
  agent_id: string
  enrolment: string
}

/**
 * Who uses which policy becomes a foreign key, and the policy of one agent alone gets a name that no other can be given: it was stored under the
 * agent's id, where another agent could use it by name and lost it when the first one was deleted.
 */
const POLICY_USES: Migration = async (db) => {
  await sql`create table policy_uses(agent_id text not null references agents(agent_id) on delete cascade, kind text not null, name text not null,
    primary key(agent_id, kind), foreign key(kind, name) references policies(kind, name)) without rowid`.execute(db)
  await sql`create index policy_uses_by_policy on policy_uses(kind, name)`.execute(db)
  const { rows } = await sql<OldAgent>`select agent_id, enrolment from agents`.execute(db)
  for (const row of rows) await moveOwnPolicies(db, row)
  await sql`delete from policies where name in (select agent_id from agents)
    and exists (select 1 from policies as own where own.kind = policies.kind and own.name = 'agent:' || policies.name)
    and not exists (select 1 from policy_uses as u where u.kind = policies.kind and u.name = policies.name)`.execute(db)
}

async function moveOwnPolicies(db: Kysely<unknown>, { agent_id: id, enrolment: text }: OldAgent): Promise<void> {
  let enrolment: Record<string, unknown>
  try {
    enrolment = JSON.parse(text)
  } catch {
    return // it is shown as what it is: a record that cannot be read
  }
  for (const [kind, member] of [['runtime', 'runtimePolicy'] as const, ['mb', 'mbPolicy'] as const]) {
    const name = enrolment[member]
    if (typeof name !== 'string') continue
    const { rows } = await sql<{ digest: string }>`select digest from policies where kind = ${kind} and name = ${name}`.execute(db)
    if (!rows[0]) continue
    const used = name === id ? `agent:${id}` : name
    if (used !== name) await sql`insert into policies(kind, name, digest) values(${kind}, ${used}, ${rows[0].digest})`.execute(db)
    await sql`insert into policy_uses values(${id}, ${kind}, ${used})`.execute(db)
    enrolment[member] = used
  }
  await sql`update agents set enrolment = ${JSON.stringify(enrolment)} where agent_id = ${id}`.execute(db)
}

const AGENT_TABLES: Migration = async (db) => {
  await sql`create table agents(
    agent_id text primary key, verifier_id text not null, enrolment text not null,
    operational_state integer not null, announced_severity integer, failures text not null, v text, v_state text not null, v_released_to text,
    transport_key text, supported_version text not null, algorithms text) without rowid`.execute(db)
  // One narrow row an agent: the counters of many agents share a page, and a commit a second writes few of them.
  await sql`create table progress(
    agent_id text primary key references agents(agent_id) on delete cascade,
    attestation_count integer not null, last_received integer not null, last_successful integer not null, clock text, ima text) without rowid`.execute(
    db,
  )
}

/** Whether an agent is asked on is stored: an unreachable one, or one whose failures are let pass, must not be forgotten by a restart. */
const POLLED: Migration = async (db) => {
  await sql`alter table agents add column polled integer not null default 0`.execute(db)
  await sql`update agents set polled = 1 where operational_state in (1, 3, 4, 5, 6)
    or (operational_state = 7 and failures like '%internal.verifier.not_reachable%')`.execute(db)
}

/** The verifier's tables, step by step. Steps are only ever added at the end. */
export const VERIFIER_MIGRATIONS: readonly Migration[] = [
  AGENT_TABLES,
  POLICY_TABLES,
  REVOCATION_TABLES,
  FAILED_ROUND_TABLES,
  POLICY_PIECES,
  POLICY_USES,
  POLLED,
  markTables(['agents', 'policies', 'revocations']),
  VERIFIER_SIGNATURES,
  HISTORY_TABLES,
  FOLLOWER_TABLES,
  MAILBOX_TABLES,
  MAILBOX_LEFTOVERS,
  UNTOLD_EVENTS,
  DEFERRED_NOTICES,
  ORDERED_REVOCATIONS,
  ORDERED_INDEX,
]

/** From this version on a database has a mark. */
export const MARKED_VERSION = 8
