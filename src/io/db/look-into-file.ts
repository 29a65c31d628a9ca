import fs from 'node:fs'
import BetterSqlite from 'better-sqlite3'
import { loadAddon } from '../native/load-addon.ts'

/**
 * Opens a database of SQLite for a look, also while others use it. Nothing is changed: the journal of a database that is open elsewhere, or was left by a crash, stays as it is; where there
 * is none, what this look needs goes with it. @throws what SQLite says.
 */
export function lookIntoFile(file: string): BetterSqlite.Database {
  const hasJournal = fs.existsSync(`${file}-wal`)
  const nativeBinding = loadAddon<object>('better_sqlite3.node') as never
  const sqlite = new BetterSqlite(file, { nativeBinding, fileMustExist: true, readonly: hasJournal })
  try {
    sqlite.pragma('query_only = ON')
    sqlite.pragma('trusted_schema = OFF')
    return sqlite
  } catch (error) {
    sqlite.close()
    throw error
  }
}
