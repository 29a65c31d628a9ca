import type BetterSqlite from 'better-sqlite3'
import type { SqliteDatabase, SqliteStatement } from 'kysely'

/** More than the stores have; texts of statements with values in them must not fill the memory. */
const MAX_STATEMENTS = 500

/** The same database, whose statements are compiled once and not at each use: compiling one takes longer than running it. SQLite itself compiles it again when the schema was changed. */
export function withPreparedStatements(sqlite: BetterSqlite.Database): SqliteDatabase {
  const known = new Map<string, SqliteStatement>()
  return {
    close: () => void sqlite.close(),
    prepare(text) {
      const prepared = known.get(text)
      if (prepared) return prepared
      const statement = sqlite.prepare(text) as unknown as SqliteStatement
      if (known.size >= MAX_STATEMENTS) known.clear()
      known.set(text, statement)
      return statement
    },
  }
}
