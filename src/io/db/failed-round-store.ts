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

export interface FailedRoundStore {
  /** Part of the transaction that stores the verdict. */
  put(transaction: Kysely<FailedRoundTables>, agentId: string, round: FailedRound): Promise<void>
  find(db: Kysely<FailedRoundTables>, agentId: string): Promise<FailedRound | null>
}

/** @param maxTotal bytes of all agents together: one wrong policy can fail a whole fleet at once. When they are used up, the oldest evidence is given up until half of them is free. The stories stay. */
export function failedRoundStore(maxTotal: number): FailedRoundStore {
  /** Never less than what is there; null until it is known. */
  let total: number | null = null

  async function makeRoom(db: Kysely<FailedRoundTables>, size: number): Promise<void> {
    total = (total ?? (await storedBytes(db))) + size
    if (total <= maxTotal) return
    await sql`update failed_rounds set evidence = null where agent_id in (select agent_id from
      (select agent_id, sum(length(evidence)) over (order by at desc, agent_id) as newer from failed_rounds where evidence is not null) as sizes
      where newer > ${Math.floor(maxTotal / 2)})`.execute(db)
    total = (await storedBytes(db)) + size
  }

  return {
    async put(transaction, agentId, { at, evidence: given, ...record }) {
      const evidence = given && given.length <= maxTotal ? given : null
      await makeRoom(transaction, evidence?.length ?? 0)
      const row = { agent_id: agentId, at, record: JSON.stringify(record), evidence }
      await transaction
        .insertInto('failed_rounds')
        .values(row)
        .onConflict((c) => c.column('agent_id').doUpdateSet(row))
        .execute()
    },
    async find(db, agentId) {
      const row = await db.selectFrom('failed_rounds').selectAll().where('agent_id', '=', agentId).executeTakeFirst()
      if (!row) return null
      const record = { ...JSON.parse(row.record), at: row.at }
      return row.evidence === null ? { ...record, evidence: null, cut: ['evidence'] } : { ...record, evidence: Buffer.from(row.evidence) }
    },
  }
}

async function storedBytes(db: Kysely<FailedRoundTables>): Promise<number> {
  const { rows } = await sql<{ bytes: number | null }>`select sum(length(evidence)) as bytes from failed_rounds`.execute(db)
  return Number(rows[0]?.bytes ?? 0)
}
