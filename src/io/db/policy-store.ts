import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Migration } from './migrate.ts'

export type PolicyKind = 'runtime' | 'mb'

export interface StoredPolicy {
  name: string
  /** SHA-256 of the body: equal policies are held, and parsed, once. */
  digest: string
  body: string
}

interface Tables {
  policy_bodies: { digest: string; body: string }
  policies: { kind: PolicyKind; name: string; digest: string }
}

export const POLICY_TABLES: Migration = async (db) => {
  await sql`create table policy_bodies(digest text primary key, body text not null)`.execute(db)
  await sql`create table policies(kind text not null, name text not null, digest text not null references policy_bodies(digest), primary key(kind, name)) without rowid`.execute(
    db,
  )
}

/** Named policies, stored by content. Every method is durable when it returns. */
export interface PolicyStore {
  find(kind: PolicyKind, name: string): Promise<StoredPolicy | null>
  /** The digest alone: cheap also for a policy of 50 MB. */
  digestOf(kind: PolicyKind, name: string): Promise<string | null>
  /** Of all that have a name. */
  digests(kind: PolicyKind): Promise<Set<string>>
  list(kind: PolicyKind): Promise<string[]>
  put(kind: PolicyKind, name: string, body: string): Promise<StoredPolicy>
  delete(kind: PolicyKind, name: string): Promise<boolean>
}

export function policyStore(database: Kysely<unknown>): PolicyStore {
  const db = database as Kysely<Tables>
  return {
    async find(kind, name) {
      const row = await db
        .selectFrom('policies')
        .innerJoin('policy_bodies', 'policy_bodies.digest', 'policies.digest')
        .select(['policies.name', 'policies.digest', 'policy_bodies.body'])
        .where('kind', '=', kind)
        .where('name', '=', name)
        .executeTakeFirst()
      return row ?? null
    },
    async digestOf(kind, name) {
      const row = await db.selectFrom('policies').select('digest').where('kind', '=', kind).where('name', '=', name).executeTakeFirst()
      return row?.digest ?? null
    },
    async digests(kind) {
      const rows = await db.selectFrom('policies').select('digest').distinct().where('kind', '=', kind).execute()
      return new Set(rows.map((row) => row.digest))
    },
    async list(kind) {
      const rows = await db.selectFrom('policies').select('name').where('kind', '=', kind).orderBy('name').execute()
      return rows.map((row) => row.name)
    },
    put: (kind, name, body) =>
      db.transaction().execute(async (transaction) => {
        const digest = createHash('sha256').update(body).digest('hex')
        await transaction
          .insertInto('policy_bodies')
          .values({ digest, body })
          .onConflict((c) => c.doNothing())
          .execute()
        await transaction
          .insertInto('policies')
          .values({ kind, name, digest })
          .onConflict((c) => c.columns(['kind', 'name']).doUpdateSet({ digest }))
          .execute()
        await dropUnused(transaction)
        return { name, digest, body }
      }),
    delete: (kind, name) =>
      db.transaction().execute(async (transaction) => {
        const result = await transaction.deleteFrom('policies').where('kind', '=', kind).where('name', '=', name).executeTakeFirst()
        await dropUnused(transaction)
        return result.numDeletedRows > 0n
      }),
  }
}

const dropUnused = (db: Kysely<Tables>) =>
  db.deleteFrom('policy_bodies').where('digest', 'not in', db.selectFrom('policies').select('digest')).execute()
