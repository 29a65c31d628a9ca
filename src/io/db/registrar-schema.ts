import { createHash } from 'node:crypto'
import { type Generated, type Kysely, sql } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import type { ExpectedTpm } from '../../core/identity/expected-tpm.ts'
import { tpmFacts } from '../../core/identity/tpm-facts.ts'
import type { TpmOfRecord } from '../../core/identity/tpm-of-record.ts'
import { spkiOf } from '../../core/spki.ts'
import { parsePublicArea } from '../../core/tpm/public-area.ts'
import { builtOnce } from './built-once.ts'
import { markTable, markTables } from './database-mark.ts'
import type { Migration } from './migrate.ts'

export interface RegistrarTables {
  /** `ek_key`: see `ekKeyOf`. */
  registered_agents: { agent_id: string; record: string; regcount: number; ek_key: string }
  /** What stands for a TPM beside its EK: see `tpm-facts.ts`. */
  registered_facts: { fact: string; agent_id: string }
  revoked_facts: { fact: string; agent_id: string }
  revoked_agents: { agent_id: string; ek_key: string | null; revoked_at: number }
  /** See `expected-tpms.ts`. */
  expected_tpms: {
    kind: ExpectedTpm['kind']
    digits: string
    verdict: ExpectedTpm['verdict']
    agent_id: string | null
    note: string
    added_at: number
    added_by: string
  }
  /** See `waiting-machines.ts`. */
  waiting_machines: { agent_id: string; ek_key: string; record: string; network: string; maker: string | null; since: number }
  pending_registrations: {
    seq: Generated<number>
    agent_id: string
    answer: Uint8Array
    record: string
    bytes: number
    network: string
    expires_at: number
  }
}

export const REGISTRAR_MIGRATIONS: readonly Migration[] = [
  async (db) => {
    await sql`create table registered_agents(agent_id text primary key, record text not null, regcount integer not null) without rowid`.execute(
      db,
    )
    await sql`create table pending_registrations(agent_id text primary key, record text not null, secret blob not null, expires_at integer not null) without rowid`.execute(
      db,
    )
    await sql`create index pending_by_expiry on pending_registrations(expires_at)`.execute(db)
  },
  severalPending,
  ekKeys,
  revocationMarks,
  markTables(['registered_agents', 'revoked_agents']),
  tpmFactTables,
  expectedTpms,
]

/** From this version on a database has a mark. */
export const MARKED_REGISTRAR = 5

/** Several registrations of one id wait side by side. What waited before is dropped: an agent that gets no answer registers again. */
async function severalPending(db: Kysely<unknown>): Promise<void> {
  await sql`drop table pending_registrations`.execute(db)
  await sql`create table pending_registrations(seq integer primary key, agent_id text not null, answer blob not null, record text not null, bytes integer not null, network text not null, expires_at integer not null)`.execute(
    db,
  )
  await sql`create unique index pending_by_answer on pending_registrations(agent_id, answer)`.execute(db)
  await sql`create index pending_by_network on pending_registrations(network, seq)`.execute(db)
  await sql`create index pending_by_expiry on pending_registrations(expires_at)`.execute(db)
}

/** Who may not register, by id and by the EK that the id had: see `revocation-marks.ts`. */
async function revocationMarks(db: Kysely<unknown>): Promise<void> {
  await sql`create table revoked_agents(agent_id text primary key, ek_key text, revoked_at integer not null) without rowid`.execute(db)
  await sql`create index revoked_by_ek on revoked_agents(ek_key) where ek_key is not null`.execute(db)
}

/** Which ids a TPM has is asked at each activation. */
async function ekKeys(db: Kysely<unknown>): Promise<void> {
  await sql`alter table registered_agents add column ek_key text not null default ''`.execute(db)
  const { rows } = await sql<{ agent_id: string; record: string }>`select agent_id, record from registered_agents`.execute(db)
  for (const { agent_id, record } of rows)
    await sql`update registered_agents set ek_key = ${ekKeyOf(decodeRecord(record).ek)} where agent_id = ${agent_id}`.execute(db)
  await sql`create index registered_by_ek on registered_agents(ek_key)`.execute(db)
}

/** One TPM is known by more than one of its EKs. */
async function tpmFactTables(db: Kysely<unknown>): Promise<void> {
  for (const table of ['registered_facts', 'revoked_facts']) {
    await sql
      .raw(`create table ${table}(fact text not null, agent_id text not null, primary key(fact, agent_id)) without rowid`)
      .execute(db)
    await sql.raw(`create index ${table}_by_agent on ${table}(agent_id)`).execute(db)
  }
  const { rows } = await sql<{ record: string }>`select record from registered_agents`.execute(db)
  for (const { record } of rows) {
    const known = decodeRecord(record)
    await putFacts(db as Kysely<RegistrarTables>, known.agentId, tpmFacts(known))
  }
}

/** Which TPMs an operator expects or has refused, and who waits for an operator. */
async function expectedTpms(db: Kysely<unknown>): Promise<void> {
  await sql`create table expected_tpms(kind text not null, digits text not null, verdict text not null, agent_id text, note text not null, added_at integer not null, added_by text not null, primary key(kind, digits)) without rowid`.execute(
    db,
  )
  await sql`create index expected_by_agent on expected_tpms(agent_id) where agent_id is not null`.execute(db)
  await markTable(db, 'expected_tpms')
  await sql`create table waiting_machines(agent_id text not null, ek_key text not null, record text not null, network text not null, maker text, since integer not null, primary key(agent_id, ek_key)) without rowid`.execute(
    db,
  )
  await sql`create index waiting_by_network on waiting_machines(network)`.execute(db)
}

/** In place of those that the id had. */
export async function putFacts(db: Kysely<RegistrarTables>, agentId: string, facts: readonly string[]): Promise<void> {
  await dropFacts(db, agentId)
  for (const fact of facts) await putFact(db, fact, agentId)
}

const putFact = builtOnce((db: Kysely<RegistrarTables>, fact: string, agent_id: string) =>
  db.insertInto('registered_facts').values({ fact, agent_id }),
)

const dropFacts = builtOnce((db: Kysely<RegistrarTables>, agentId: string) =>
  db.deleteFrom('registered_facts').where('agent_id', '=', agentId),
)

/** SHA-256 of the EK's public key, hex: the same for one TPM whatever else the public area says. @param ek TPM2B_PUBLIC. */
export const ekKeyOf = (ek: Buffer): string =>
  createHash('sha256')
    .update(spkiOf(parsePublicArea(ek).key))
    .digest('hex')

const BINARY = ['ek', 'ekCertificate', 'ak', 'iak', 'iakCertificate', 'idevid', 'idevidCertificate'] as const

/** The same of a TPM that was read. */
export const ekKeyOfTpm = ({ ekHashes }: TpmOfRecord): string => ekHashes[0]!

/** As many as stand for one TPM at most, with its AK. */
export type FourFacts = [string, string, string, string]

/** What stands for a TPM beside its EK, its AK too, and nothing that is stored of any: always as many, so that the same query does for all. */
export const fourFacts = ({ facts, akFact }: TpmOfRecord): FourFacts =>
  [akFact, ...Array.from({ length: 3 }, (_, i) => facts[i] ?? '')] as FourFacts

/** As JSON, bytes in base64. */
export function encodeRecord(record: AgentRecord): string {
  const bytes = BINARY.map((key) => [key, record[key]?.toString('base64') ?? null])
  return JSON.stringify({ ...record, ...Object.fromEntries(bytes) })
}

export function decodeRecord(text: string): AgentRecord {
  const json = JSON.parse(text) as Record<string, unknown>
  for (const key of BINARY) if (typeof json[key] === 'string') json[key] = Buffer.from(json[key], 'base64')
  return json as unknown as AgentRecord
}
