import fs from 'node:fs'
import BetterSqlite from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { loadAddon } from '../native/load-addon.ts'
import { awaitCopy, hasTable } from './copy-tables.ts'
import type { DatabasePlace } from './open-database.ts'

/**
 * Opens a database to read it, also while others use it, and changes nothing in it: neither its schema nor its rows. @param schema of a server.
 * @throws KeylimeError `not_found` for a file that is not there, `database_failed` for one that cannot be opened, or a schema that this user may not look into, `unavailable` for a server that cannot be used now.
 */
export async function openToRead(place: DatabasePlace, schema: string): Promise<Kysely<unknown>> {
  if (typeof place === 'string') return new Kysely({ dialect: new SqliteDialect({ database: openFile(place) }) })
  const { openServer, requireUsage } = await import('./open-postgres.ts')
  const db = await openServer<unknown>({ ...place, poolSize: 2 }, schema)
  await requireUsage(db, place, schema).catch(async (error) => {
    await db.destroy()
    throw error
  })
  return db
}

/**
 * All that `work` reads is of one moment, whatever others change meanwhile: a reader of SQLite's journal, a snapshot of the server. @param db of `openToRead`.
 */
export function asOfNow<T>(db: Kysely<unknown>, work: (snapshot: Kysely<unknown>) => Promise<T>): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (snapshot) => {
      await awaitCopy(snapshot)
      return work(snapshot)
    })
}

/** Whether there is such a table, as far as this user may look. @param of the database, for people. @throws KeylimeError `database_failed` for what is not a database, `unavailable`. */
export const tableIsIn = (db: Kysely<unknown>, { table, schema }: { table: string; schema?: string }, of: string): Promise<boolean> =>
  readable(of, hasTable(db, table, schema))

/** The version of a role's schema; 0 where there is none. @throws KeylimeError as `tableIsIn`. */
export async function schemaVersionIn(db: Kysely<unknown>, role: string, of: string): Promise<number> {
  if (!(await tableIsIn(db, { table: 'keylime_schema' }, of))) return 0
  const { rows } = await readable(of, sql<{ version: number }>`select version from keylime_schema where name = ${role}`.execute(db))
  return Number(rows[0]?.version ?? 0)
}

const readable = <T>(of: string, look: Promise<T>): Promise<T> =>
  look.catch((cause) => {
    throw isKeylimeError(cause)
      ? cause
      : new KeylimeError('database_failed', `cannot read the database ${of}: ${(cause as Error).message}`, { cause })
  })

/** One that nobody has open has no journal, or one of a crash, which SQLite first has to bring in. */
function openFile(file: string): BetterSqlite.Database {
  if (!fs.existsSync(file)) throw new KeylimeError('not_found', `there is no database ${file}`)
  try {
    const isOpenElsewhere = fs.existsSync(`${file}-wal`) && fs.existsSync(`${file}-shm`)
    const nativeBinding = loadAddon<object>('better_sqlite3.node') as never
    const sqlite = new BetterSqlite(file, { nativeBinding, fileMustExist: true, readonly: isOpenElsewhere })
    sqlite.pragma('query_only = ON')
    sqlite.pragma('trusted_schema = OFF')
    return sqlite
  } catch (cause) {
    throw new KeylimeError('database_failed', `cannot open the database ${file}: ${(cause as Error).message}`, {
      cause,
      hint: 'run it as the user of the verifier, or as root',
    })
  }
}
