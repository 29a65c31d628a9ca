import { type Kysely, sql } from 'kysely'
import type { FailedRound } from '../../core/explanation/failed-round.ts'
import type { Migration } from './migrate.ts'

export interface FailedRoundTables {
  failed_rounds: { agent_id: string; at: number; record: string; evidence: Uint8Array | null }
}

/** One row an agent, gone with it: the story of its last failed attestation. Good rounds never touch it. */
export const FAILED_ROUND_TABLES: Migration = async (db) => {
  await sql`create table failed_rounds(
    agent_id text primary key references agents(agent_id) on delete cascade, at integer not null, record text not null, evidence blob)`.execute(
    db,
  )
}

/** Part of the transaction that stores the verdict. */
export async function putFailedRound(transaction: Kysely<FailedRoundTables>, agentId: string, round: FailedRound): Promise<void> {
  const { at, evidence, ...record } = round
  const row = { agent_id: agentId, at, record: JSON.stringify(record), evidence }
  await transaction
    .insertInto('failed_rounds')
    .values(row)
    .onConflict((c) => c.column('agent_id').doUpdateSet(row))
    .execute()
}

export async function findFailedRound(db: Kysely<FailedRoundTables>, agentId: string): Promise<FailedRound | null> {
  const row = await db.selectFrom('failed_rounds').selectAll().where('agent_id', '=', agentId).executeTakeFirst()
  if (!row) return null
  return { ...JSON.parse(row.record), at: row.at, evidence: row.evidence === null ? null : Buffer.from(row.evidence) }
}
