import fs from 'node:fs'
import BetterSqlite from 'better-sqlite3'
import { loadAddon } from '../native/load-addon.ts'

/** More are not told. */
const MOST = 5

/**
 * `PRAGMA quick_check` of an SQLite database, which takes a second for each gigabyte and holds up this thread. Nothing is changed and no file left behind: the
 * journal of a database that is open elsewhere stays, one that is not goes with this look. @returns what is wrong; empty when all is well.
 */
export function quickCheck(file: string): string[] {
  try {
    const isOpenElsewhere = fs.existsSync(`${file}-wal`)
    const nativeBinding = loadAddon<object>('better_sqlite3.node') as never
    const sqlite = new BetterSqlite(file, { nativeBinding, fileMustExist: true, readonly: isOpenElsewhere })
    try {
      sqlite.pragma('query_only = ON')
      const rows = sqlite.pragma(`quick_check(${MOST})`) as { quick_check: string }[]
      return rows.map((row) => row.quick_check).filter((text) => text !== 'ok')
    } finally {
      sqlite.close()
    }
  } catch (error) {
    return [(error as Error).message]
  }
}
