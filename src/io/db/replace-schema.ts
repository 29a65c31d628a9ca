import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { refuseLiving } from './living-verifiers.ts'
import { nameOfPlace, openDatabaseIn } from './open-database.ts'
import { openServer } from './open-postgres.ts'
import type { PostgresPlace } from './postgres-pool.ts'
import { type Replacement, readBefore } from './replacement.ts'
import { VERIFIER_MIGRATIONS } from './verifier-schema.ts'

const SCHEMA = 'keylime_verifier'
/** Where it is made; what a restore that was killed left there goes. */
const MAKING = 'keylime_verifier_restoring'

/** A schema of PostgreSQL beside another one. See `beginReplacement`. */
export async function replaceSchema(place: PostgresPlace, schema: number, stamp: string): Promise<Replacement> {
  const server = await openServer<unknown>({ ...place, poolSize: 4 }, SCHEMA)
  const alone = await holdRestore(server, place).catch(async (error) => {
    await server.destroy()
    throw error
  })
  let database: Kysely<unknown> | null = null
  async function close(): Promise<void> {
    await database?.destroy()
    await sql
      .raw(`drop schema if exists ${MAKING} cascade`)
      .execute(server)
      .catch(() => undefined) // the next one does
    await alone.release()
    await server.destroy()
  }
  try {
    const isThere = await hasSchema(server)
    if (isThere) await refuseLiving(server, place)
    const before = isThere ? await readBefore(server) : null
    await sql.raw(`drop schema if exists ${MAKING} cascade`).execute(server)
    database = await openDatabaseIn<unknown>(place, { role: 'verifier', schema: MAKING }, VERIFIER_MIGRATIONS.slice(0, schema))
    const swap = async (): Promise<string | null> => {
      await database!.destroy()
      const kept = isThere ? `${SCHEMA}_replaced_${stamp.toLowerCase()}` : null
      await exchange(server, place, kept)
      return kept && `schema ${kept} of ${nameOfPlace(place)}`
    }
    return { before, database, swap, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Both names change in one transaction. A verifier that comes meanwhile waits for it, or is found. */
const exchange = (server: Kysely<unknown>, place: PostgresPlace, kept: string | null): Promise<void> =>
  server.transaction().execute(async (transaction) => {
    if (kept !== null) {
      if (await hasTable(transaction, 'verifiers')) {
        await sql.raw(`lock table ${SCHEMA}.verifiers in access exclusive mode`).execute(transaction)
        await refuseLiving(transaction, place)
      }
      await sql.raw(`alter schema ${SCHEMA} rename to ${kept}`).execute(transaction)
    }
    await sql.raw(`alter schema ${MAKING} rename to ${SCHEMA}`).execute(transaction)
  })

async function hasSchema(db: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql`select 1 from pg_namespace where nspname = ${SCHEMA}`.execute(db)
  return rows.length > 0
}

async function hasTable(db: Kysely<unknown>, name: string): Promise<boolean> {
  const { rows } = await sql`select 1 from pg_tables where schemaname = ${SCHEMA} and tablename = ${name}`.execute(db)
  return rows.length > 0
}

/** One at a time, for as long as its connection lives. */
async function holdRestore(server: Kysely<unknown>, place: PostgresPlace): Promise<{ release(): Promise<void> }> {
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const held = new Promise<boolean>((resolve, reject) => {
    server
      .connection()
      .execute(async (connection) => {
        const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_lock(hashtext('keylime.restore')) as mine`.execute(connection)
        resolve(rows[0]!.mine)
        if (!rows[0]!.mine) return
        await ended
        await sql`select pg_advisory_unlock(hashtext('keylime.restore'))`.execute(connection)
      })
      .catch(reject)
  })
  if (await held) return { release: async () => end() }
  throw new KeylimeError('conflict', `another restore is under way at ${nameOfPlace(place)}`, { hint: 'wait until it ends' })
}
