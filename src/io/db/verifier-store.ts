import { type Kysely, sql } from 'kysely'
import type { AgentProgress, Enrolment, StoredAgent, StoredState } from '../../core/attestation/stored-agent.ts'
import type { FailedRound } from '../../core/explanation/failed-round.ts'
import { type FailedRoundTables, failedRoundStore } from './failed-round-store.ts'
import type { Migration } from './migrate.ts'
import { insertRevocation, type NewRevocation, type RevocationTables, type StoredRevocation } from './revocation-store.ts'
import { decodeProgress, decodeState, encodeProgress, encodeState, type ProgressRow, type StateRow } from './verifier-rows.ts'

interface AgentTable extends StateRow {
  agent_id: string
  verifier_id: string
  /** JSON: what the tenant enrolled; never changes. */
  enrolment: string
}

interface Tables extends RevocationTables, FailedRoundTables {
  agents: AgentTable
  progress: ProgressRow
}

export const AGENT_TABLES: Migration = async (db) => {
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

/** A change of state, and what is stored in the same commit. */
export interface StateChange {
  state: StoredState
  progress: AgentProgress
  /** What others must be told of it. */
  revocation: NewRevocation | null
  /** Of a failed attestation: replaces that of an earlier one. */
  failedRound: FailedRound | null
}

/** The verifier's agents. Every method is durable when it returns. */
export interface VerifierStore {
  load(verifierId: string): Promise<StoredAgent[]>
  /** @returns false when an agent of this id exists already. */
  insert(enrolment: Enrolment, state: StoredState): Promise<boolean>
  /** Writes a change in one commit: after it nothing of it can be lost. @returns the revocation with its number. */
  saveState(agentId: string, change: StateChange): Promise<StoredRevocation | null>
  /** The last attestation of an agent that failed. */
  failedRound(agentId: string): Promise<FailedRound | null>
  /** The group commit of counters. */
  saveProgress(rows: readonly { agentId: string; progress: AgentProgress }[]): Promise<void>
  delete(agentId: string): Promise<void>
}

const ROWS_A_STATEMENT = 500

/** @param maxEvidence bytes that are kept of the failed attestations of all agents. */
export function verifierStore(database: Kysely<unknown>, maxEvidence: number): VerifierStore {
  const db = database as Kysely<Tables>
  const failedRounds = failedRoundStore(maxEvidence)
  return {
    async load(verifierId) {
      const rows = await db
        .selectFrom('agents')
        .innerJoin('progress', 'progress.agent_id', 'agents.agent_id')
        .selectAll('agents')
        .select(['attestation_count', 'last_received', 'last_successful', 'clock', 'ima'])
        .where('verifier_id', '=', verifierId)
        .execute()
      return rows.map((row) => ({
        enrolment: JSON.parse(row.enrolment) as Enrolment,
        state: decodeState(row),
        progress: decodeProgress(row),
      }))
    },
    insert: (enrolment, state) =>
      db.transaction().execute(async (transaction) => {
        const row = {
          agent_id: enrolment.agentId,
          verifier_id: enrolment.verifierId,
          enrolment: JSON.stringify(enrolment),
          ...encodeState(state),
        }
        const result = await transaction
          .insertInto('agents')
          .values(row)
          .onConflict((c) => c.doNothing())
          .executeTakeFirst()
        if (result.numInsertedOrUpdatedRows !== 1n) return false
        await transaction.insertInto('progress').values(encodeProgress(enrolment.agentId, null)).execute()
        return true
      }),
    saveState: (agentId, { state, progress, revocation, failedRound }) =>
      db.transaction().execute(async (transaction) => {
        await transaction.updateTable('agents').set(encodeState(state)).where('agent_id', '=', agentId).execute()
        await upsertProgress(transaction, [encodeProgress(agentId, progress)])
        if (failedRound) await failedRounds.put(transaction as never, agentId, failedRound)
        return revocation ? insertRevocation(transaction as never, revocation) : null
      }),
    failedRound: (agentId) => failedRounds.find(db as never, agentId),
    saveProgress: (rows) =>
      db.transaction().execute(async (transaction) => {
        for (let at = 0; at < rows.length; at += ROWS_A_STATEMENT) {
          const part = rows.slice(at, at + ROWS_A_STATEMENT)
          await upsertProgress(
            transaction,
            part.map((row) => encodeProgress(row.agentId, row.progress)),
          )
        }
      }),
    async delete(agentId) {
      await db.deleteFrom('agents').where('agent_id', '=', agentId).execute()
    },
  }
}

async function upsertProgress(db: Kysely<Tables>, rows: ProgressRow[]): Promise<void> {
  await db
    .insertInto('progress')
    .values(rows)
    .onConflict((conflict) =>
      conflict.column('agent_id').doUpdateSet((e) => ({
        attestation_count: e.ref('excluded.attestation_count'),
        last_received: e.ref('excluded.last_received'),
        last_successful: e.ref('excluded.last_successful'),
        clock: e.ref('excluded.clock'),
        ima: e.ref('excluded.ima'),
      })),
    )
    .execute()
}
