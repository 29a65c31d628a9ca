import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, type PostgresPool, type PostgresPoolClient, sql } from 'kysely'
import { createSerialQueue } from '../../core/concurrency/serial-queue.ts'
import { isPassing } from './postgres-errors.ts'
import { type BoundedPool, SCHEMA_SESSION, SESSION } from './postgres-pool.ts'
import { SCHEMA_WORDS } from './postgres-schema-words.ts'
import type { DatabaseSeam } from './seam.ts'

/** Advisory locks of a role's schema: who changes, who migrates, who has stored what has no name yet. */
const LOCKS = { change: 1, schema: 2, staging: 3 } as const
const lockOf = (what: keyof typeof LOCKS) => sql`hashtext('keylime.' || current_schema()), ${sql.lit(LOCKS[what])}`

/** Times that a change is made which the server undid because of another. */
const MAX_TRIES = 3
const ASK_AGAIN_MS = 500
/** Changes between two looks at what the record of them may forget. */
const FORGET_EVERY = 1000

/** A change that the server undid as a whole: it can be made again at once. */
const isUndone = (error: unknown): boolean => /^40/.test(String(((error as Error)?.cause as { code?: unknown })?.code ?? ''))

/**
 * The table in which each change leaves its number, in its own transaction. When the way to the server is cut while a commit is under way, nobody can tell from here what became of it: it
 * is looked up there.
 */
const COMMITS_TABLE = sql`create table if not exists keylime_commits(id uuid primary key, at timestamptz not null default now())`

export function postgresSeam(pool: BoundedPool): DatabaseSeam {
  const changes = createSerialQueue()
  const staged = sharedLock(pool)
  let made = 0

  async function change<Tables, T>(db: Kysely<Tables>, work: (transaction: Kysely<Tables>) => Promise<T>): Promise<T> {
    const id = randomUUID()
    let done: { result: T } | null = null
    try {
      return await db.transaction().execute(async (transaction) => {
        await sql`select pg_advisory_xact_lock(${lockOf('change')})`.execute(transaction)
        const result = await work(transaction)
        await sql`insert into keylime_commits(id) values(${id})`.execute(transaction)
        if (made++ % FORGET_EVERY === 0) await sql`delete from keylime_commits where at < now() - interval '1 day'`.execute(transaction)
        done = { result }
        return result
      })
    } catch (error) {
      if (done === null || !isPassing(error)) throw error
      if (await wasCommitted(db, id)) return (done as { result: T }).result
      throw error
    }
  }

  /** Asks until the server answers: behind the lock, so that the transaction has ended, one way or the other. */
  async function wasCommitted<Tables>(db: Kysely<Tables>, id: string): Promise<boolean> {
    for (;;) {
      try {
        return await db.transaction().execute(async (transaction) => {
          await sql`select pg_advisory_xact_lock(${lockOf('change')})`.execute(transaction)
          const { rows } = await sql`select 1 from keylime_commits where id = ${id}`.execute(transaction)
          return rows.length > 0
        })
      } catch (error) {
        if (!isPassing(error) || pool.isLeft) throw error
        await sleep(ASK_AGAIN_MS)
      }
    }
  }

  async function changeUndisturbed<Tables, T>(db: Kysely<Tables>, work: (transaction: Kysely<Tables>) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await change(db, work)
      } catch (error) {
        if (!isUndone(error) || tries === MAX_TRIES) throw error
      }
    }
  }

  return {
    name: 'postgresql',
    // One after the other already in this process: who waits for the lock needs no connection meanwhile.
    change: (db, work) => (db.isTransaction ? work(db) : changes.run(() => changeUndisturbed(db, work))),
    alone: (db, work) =>
      db.connection().execute(async (connection) => {
        const leave = async () => {
          await sql`select pg_advisory_unlock(${lockOf('schema')})`.execute(connection)
          await sql.raw(SESSION).execute(connection)
        }
        await sql.raw(SCHEMA_SESSION).execute(connection)
        await sql`select pg_advisory_lock(${lockOf('schema')})`.execute(connection)
        try {
          await COMMITS_TABLE.execute(connection)
          await JSON_FUNCTION.execute(connection)
          const result = await work(connection.withPlugin(SCHEMA_WORDS))
          await leave()
          return result
        } catch (error) {
          await leave().catch(() => undefined) // it was cut: that is why, and both ended with it
          throw error
        }
      }),
    staging: (_db, work) => staged.hold(work),
    clearing: (db, work) =>
      db.connection().execute(async (connection) => {
        const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_lock(${lockOf('staging')}) as mine`.execute(connection)
        if (!rows[0]?.mine) return
        try {
          await work()
        } finally {
          await sql`select pg_advisory_unlock(${lockOf('staging')})`.execute(connection)
        }
      }),
    jsonText: (column, path) => sql`keylime_json(${sql.ref(column)}) ->> ${path.replace(/^\$\./, '')}`,
    greatest: (a, b) => sql`greatest(${a}, ${b})`,
    rows: (rows, columns) => {
      const arrays = Object.entries(columns).map(([name, type]) => {
        const values = rows.map((row) => (row as Record<string, unknown>)[name] ?? null)
        return type === 'integer' ? sql`${values}::bigint[]` : sql`${values}::text[]`
      })
      return sql`select * from unnest(${sql.join(arrays)}) where true`
    },
    few: 1,
    load: pool.load,
    leaveWithin: pool.leaveWithin,
  }
}

/** JSON of a text column; null for what is none. Zero characters and surrogates, which JSON may have and PostgreSQL's JSON may not, or in pairs alone, are replaced. */
const JSON_FUNCTION = sql.raw(`create or replace function keylime_json(given text) returns jsonb language plpgsql immutable as $$
  begin return regexp_replace(given, '\\\\u(0000|d[89a-f][0-9a-f]{2})', '\\\\ufffd', 'gi')::jsonb; exception when others then return null; end $$`)

/** One lock for all of this process that are at it, on a connection of its own; the first takes it and the last lets it go. */
function sharedLock(pool: PostgresPool) {
  let holders = 0
  let lock: Promise<PostgresPoolClient> | null = null
  const take = async () => {
    const client = await pool.connect()
    try {
      await client.query(`select pg_advisory_lock_shared(hashtext('keylime.' || current_schema()), ${LOCKS.staging})`, [])
      return client
    } catch (error) {
      client.release()
      throw error
    }
  }
  const letGo = async (client: PostgresPoolClient) => {
    await client
      .query(`select pg_advisory_unlock_shared(hashtext('keylime.' || current_schema()), ${LOCKS.staging})`, [])
      .catch(() => undefined) // it ended with its connection
    client.release()
  }
  return {
    async hold<T>(work: () => Promise<T>): Promise<T> {
      holders++
      try {
        lock ??= take()
        await lock
        return await work()
      } finally {
        holders--
        const held = lock
        if (holders === 0) lock = null
        if (holders === 0) await held?.then(letGo, () => undefined)
      }
    },
  }
}
