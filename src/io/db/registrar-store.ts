import { type Kysely, sql } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import type { Migration } from './migrate.ts'

/** A registration that waits for the proof of its TPM. */
export interface PendingRegistration {
  record: AgentRecord
  /** What only the TPM with the registered EK can recover. */
  secret: Buffer
  /** Milliseconds since the epoch. */
  expiresAt: number
}

interface Tables {
  registered_agents: { agent_id: string; record: string; regcount: number }
  pending_registrations: { agent_id: string; record: string; secret: Uint8Array; expires_at: number }
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
]

/** Agents whose TPM has proved itself, and registrations that have not yet. Every method is durable when it returns. */
export interface RegistrarStore {
  find(agentId: string): Promise<AgentRecord | null>
  findPending(agentId: string): Promise<PendingRegistration | null>
  list(): Promise<string[]>
  putPending(pending: PendingRegistration): Promise<void>
  dropPending(agentId: string): Promise<void>
  dropExpired(now: number): Promise<void>
  countPending(): Promise<number>
  /** Moves a pending registration into its place: from now on the id belongs to this TPM. */
  activate(record: AgentRecord): Promise<void>
  /** @returns whether there was one. */
  delete(agentId: string): Promise<boolean>
  close(): Promise<void>
}

export function registrarStore(database: Kysely<unknown>): RegistrarStore {
  const db = database as Kysely<Tables>
  return {
    async find(agentId) {
      const row = await db.selectFrom('registered_agents').selectAll().where('agent_id', '=', agentId).executeTakeFirst()
      return row ? decode(row.record) : null
    },
    async findPending(agentId) {
      const row = await db.selectFrom('pending_registrations').selectAll().where('agent_id', '=', agentId).executeTakeFirst()
      return row ? { record: decode(row.record), secret: Buffer.from(row.secret), expiresAt: row.expires_at } : null
    },
    async list() {
      const rows = await db.selectFrom('registered_agents').select('agent_id').orderBy('agent_id').execute()
      return rows.map((row) => row.agent_id)
    },
    async putPending({ record, secret, expiresAt }) {
      const row = { agent_id: record.agentId, record: encode(record), secret, expires_at: expiresAt }
      await db
        .insertInto('pending_registrations')
        .values(row)
        .onConflict((c) => c.column('agent_id').doUpdateSet(row))
        .execute()
    },
    async dropPending(agentId) {
      await db.deleteFrom('pending_registrations').where('agent_id', '=', agentId).execute()
    },
    async dropExpired(now) {
      await db.deleteFrom('pending_registrations').where('expires_at', '<=', now).execute()
    },
    async countPending() {
      const row = await db
        .selectFrom('pending_registrations')
        .select((e) => e.fn.countAll<number>().as('n'))
        .executeTakeFirstOrThrow()
      return Number(row.n)
    },
    async activate(record) {
      await db.transaction().execute(async (transaction) => {
        const row = { agent_id: record.agentId, record: encode(record), regcount: record.regcount }
        await transaction
          .insertInto('registered_agents')
          .values(row)
          .onConflict((c) => c.column('agent_id').doUpdateSet(row))
          .execute()
        await transaction.deleteFrom('pending_registrations').where('agent_id', '=', record.agentId).execute()
      })
    },
    async delete(agentId) {
      const result = await db.deleteFrom('registered_agents').where('agent_id', '=', agentId).executeTakeFirst()
      await db.deleteFrom('pending_registrations').where('agent_id', '=', agentId).execute()
      return result.numDeletedRows > 0n
    },
    close: () => db.destroy(),
  }
}

const BINARY = ['ek', 'ekCertificate', 'ak', 'iak', 'iakCertificate', 'idevid', 'idevidCertificate'] as const

const encode = (record: AgentRecord): string =>
  JSON.stringify(record, (key, value) =>
    (BINARY as readonly string[]).includes(key) && value ? Buffer.from(value.data ?? value).toString('base64') : value,
  )

function decode(text: string): AgentRecord {
  const json = JSON.parse(text) as Record<string, unknown>
  for (const key of BINARY) if (typeof json[key] === 'string') json[key] = Buffer.from(json[key], 'base64')
  return json as unknown as AgentRecord
}
