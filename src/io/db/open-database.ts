import fs from 'node:fs'
import BetterSqlite from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { loadAddon } from '../native/load-addon.ts'
import { type Migration, migrate, type SchemaChange } from './migrate.ts'

/** Resolves `database_url`. @param fallback file for the word `sqlite`. @throws KeylimeError `config_invalid` for other databases. */
export function databaseFile(url: string, fallback: string): string {
  if (url === '' || url === 'sqlite') return fallback
  const path = /^sqlite:\/\/\/(.+)$/.exec(url)?.[1]
  if (path) return path.startsWith('/') ? path : `/${path}`
  throw new KeylimeError('config_invalid', `database_url = ${url.replace(/:[^:@/]*@/, ':[secret]@')} is not supported`, {
    hint: 'use "sqlite", or "sqlite:///PATH" for another file',
  })
}

/**
 * Opens an SQLite database in WAL mode: what a transaction has written is on the disk when it returns, and what it has erased is overwritten in the file; the journal
 * beside it has it until it is begun anew, at the latest when the database is closed. Readable by its owner only.
 * @param migrated told which version the schema had.
 * @throws KeylimeError `database_failed`: not a database, newer than this program, no access.
 */
export async function openDatabase<Tables>(
  file: string,
  name: string,
  migrations: readonly Migration[],
  migrated: (change: SchemaChange) => void = () => {},
): Promise<Kysely<Tables>> {
  const sqlite = openSqlite(file)
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) })
  try {
    migrated(await migrate(db as Kysely<unknown>, name, migrations))
  } catch (error) {
    await db.destroy()
    throw error
  }
  return db
}

function openSqlite(file: string): BetterSqlite.Database {
  try {
    if (file !== ':memory:') fs.closeSync(fs.openSync(file, 'a', 0o600)) // made with its mode, before SQLite makes it with another
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
      hint: 'check that the directory exists and is writable for this user, and that the file is an SQLite database',
    })
  }
}
