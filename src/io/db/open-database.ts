import fs from 'node:fs'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { nameOfServer, readDatabaseUrl, withoutPassword } from '../../core/database-url.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemHint } from '../../core/system-failure.ts'
import { loadAddon } from '../native/load-addon.ts'
import { type Migration, migrate, type SchemaChange } from './migrate.ts'
import type { PostgresPlace } from './postgres-pool.ts'
import { withPreparedStatements } from './prepared-statements.ts'
import { seamOf } from './seam.ts'

/** Where a role's data are: a file of SQLite, or a server. */
export type DatabasePlace = string | PostgresPlace

/** The options of a role that say it. */
export interface DatabaseOptions {
  readonly database_url: string
  readonly database_password_file: string
  /** `5,10`: for good, and beyond it. */
  readonly database_pool_sz_ovfl: string
}

/** Resolves `database_url` and what belongs to it. @param fallback file for the word `sqlite`. @throws KeylimeError `config_invalid` for other databases. */
export function databasePlace(options: DatabaseOptions, fallback: string): DatabasePlace {
  const { database_url: url, database_password_file: passwordFile, database_pool_sz_ovfl: pool } = options
  const read = readUrl(url)
  if (read.kind === 'sqlite') return read.file ?? fallback
  return {
    server: read.server,
    passwordFile: passwordFile === '' ? null : path.resolve(path.dirname(fallback), passwordFile),
    poolSize: Math.max(
      MIN_POOL,
      pool.split(',').reduce((sum, count) => sum + Number(count), 0),
    ),
  }
}

/** For people: the file, or the server without its password. */
export const nameOfPlace = (place: DatabasePlace): string => (typeof place === 'string' ? place : nameOfServer(place.server))

/** Where the mark of a database is kept (`database-mark.ts`), without its ending: beside a file, or in its place for what is on a server. */
export const markPlace = (place: DatabasePlace, fallback: string): string =>
  typeof place === 'string' ? place : fallback.replace(/\.sqlite$/, '.postgresql')

/** A change, what it looks up beside, and the lock of what is being stored. */
const MIN_POOL = 4

function readUrl(url: string) {
  try {
    return readDatabaseUrl(url)
  } catch (error) {
    throw new KeylimeError('config_invalid', `the database ${withoutPassword(url)} is not supported`, { hint: (error as Error).message })
  }
}

/**
 * Opens a database and brings its schema up to date. Of SQLite in WAL mode: what a transaction has written is on the disk when it returns, and what it has erased is overwritten in the file;
 * the journal beside it has it until it is cut off (`short-journal.ts`), at the latest when the database is closed. Readable by its owner only. Of a server what is in the schema `keylime_NAME`.
 * @param migrated told which version the schema had.
 * @throws KeylimeError `database_failed`: not a database, newer than this program, no access; `unavailable` for a server that cannot be used now.
 */
export const openDatabase = <Tables>(
  place: DatabasePlace,
  name: string,
  migrations: readonly Migration[],
  migrated: (change: SchemaChange) => void = () => {},
): Promise<Kysely<Tables>> => openDatabaseIn(place, { role: name, schema: `keylime_${name}` }, migrations, migrated)

/** The same under another name of the schema. @throws KeylimeError as `openDatabase`. */
export async function openDatabaseIn<Tables>(
  place: DatabasePlace,
  { role, schema }: { role: string; schema: string },
  migrations: readonly Migration[],
  migrated: (change: SchemaChange) => void = () => {},
): Promise<Kysely<Tables>> {
  const db = await openPlace<Tables>(place, schema)
  try {
    migrated(await seamOf(db).alone(db as Kysely<unknown>, (alone) => migrate(alone, role, migrations)))
  } catch (error) {
    await db.destroy()
    throw error
  }
  return db
}

/** What speaks with servers is loaded only where one is configured. */
async function openPlace<Tables>(place: DatabasePlace, schema: string): Promise<Kysely<Tables>> {
  if (typeof place === 'string')
    return new Kysely<Tables>({ dialect: new SqliteDialect({ database: withPreparedStatements(openSqlite(place)) }) })
  const { openPostgres } = await import('./open-postgres.ts')
  return openPostgres<Tables>(place, schema)
}

/**
 * Made with its mode, before SQLite makes it with another. One that root makes where a service works is the service's, as every file (`giveToOwner`), and SQLite makes what stands beside it
 * likewise. What was there, by a link too, is not given away.
 */
function makeFile(file: string): void {
  let made: number
  try {
    made = fs.openSync(file, 'wx', 0o600)
  } catch {
    fs.closeSync(fs.openSync(file, 'a', 0o600)) // it is there, or that says why not
    return
  }
  try {
    const { uid, gid } = fs.statSync(path.dirname(file))
    if (process.geteuid?.() === 0 && uid !== 0) fs.fchownSync(made, uid, gid)
  } finally {
    fs.closeSync(made)
  }
}

function openSqlite(file: string): BetterSqlite.Database {
  try {
    if (file !== ':memory:') makeFile(file)
    const sqlite = new BetterSqlite(file, { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })
    sqlite.pragma('journal_mode = WAL')
    sqlite.pragma('synchronous = FULL')
    sqlite.pragma('foreign_keys = ON')
    sqlite.pragma('busy_timeout = 5000')
    sqlite.pragma('secure_delete = ON')
    return sqlite
  } catch (cause) {
    if (cause instanceof KeylimeError) throw cause
    throw new KeylimeError('database_failed', `cannot open the database ${file}: ${(cause as Error).message}`, {
      cause,
      hint: systemHint(cause) ?? 'check that the directory exists and is writable for this user, and that the file is an SQLite database',
    })
  }
}
