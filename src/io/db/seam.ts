import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { PoolLoad } from './postgres-pool-load.ts'

/**
 * What a store asks of its database that SQLite and PostgreSQL do each in a way of their own. Everything else is SQL that both understand, written once. The dialect of a database
 * carries it, so that stores need nothing besides their database.
 */
export interface DatabaseSeam {
  readonly name: 'sqlite' | 'postgresql'
  /**
   * One transaction, durable when it returns, and alone: no other change, of whatever process, is made between its first look and its end. Part of the transaction that is under way
   * where `db` is one.
   */
  change<Tables, T>(db: Kysely<Tables>, work: (transaction: Kysely<Tables>) => Promise<T>): Promise<T>
  /** Runs `work` while no other process changes the schema. */
  alone<T>(db: Kysely<unknown>, work: (db: Kysely<unknown>) => Promise<T>): Promise<T>
  /** Runs `work`, during which no other process clears away (`clearing`) what it has stored and not yet named. */
  staging<T>(db: Kysely<unknown>, work: () => Promise<T>): Promise<T>
  /** Runs `work` when nobody is at `staging` in another process; otherwise it is left to a later time. */
  clearing(db: Kysely<unknown>, work: () => Promise<void>): Promise<void>
  /** A member of a JSON object in a column, as text; null where there is none, or no JSON. @param path such as `$.name`. */
  jsonText(column: string, path: string): RawBuilder<string | null>
  /** The larger of two numbers. */
  greatest(a: RawBuilder<unknown>, b: number): RawBuilder<number>
  /** Many rows as one value: as values of a statement that is built each time, they cost more than to write them. Columns in their order. */
  rows(rows: readonly object[], columns: Readonly<Record<string, 'text' | 'integer'>>): RawBuilder<unknown>
  /** So many rows are stored sooner one after the other than as `rows`. */
  readonly few: number
  /** Its connections; null for a file. */
  load(): PoolLoad | null
  /** For who stops: a server that says nothing any more is waited for no longer than this in all. */
  leaveWithin(milliseconds: number): void
}

const SQLITE: DatabaseSeam = {
  name: 'sqlite',
  change: (db, work) => (db.isTransaction ? work(db) : db.transaction().execute(work)),
  alone: (db, work) => work(db),
  staging: (_db, work) => work(),
  clearing: (_db, work) => work(),
  jsonText: (column, path) => sql`case when json_valid(${sql.ref(column)}) then json_extract(${sql.ref(column)}, ${path}) end`,
  greatest: (a, b) => sql`max(${a}, ${b})`,
  rows(rows, columns) {
    const names = Object.keys(columns)
    const lists = rows.map((row) => names.map((name) => (row as Record<string, unknown>)[name] ?? null)) // found by their place: a row has its names for nothing
    return sql`select ${sql.join(names.map((_, i) => sql`value->>${sql.lit(i)}`))} from json_each(${JSON.stringify(lists)}) where true`
  },
  few: 8, // such a statement is built and read each time, the others once
  load: () => null,
  leaveWithin: () => undefined,
}

/** A dialect whose adapter has a seam of its own. */
export interface SeamedAdapter {
  readonly seam: DatabaseSeam
}

/** The seam of a database, or of a transaction. */
export function seamOf<Tables>(db: Kysely<Tables>): DatabaseSeam {
  const adapter = db.getExecutor().adapter as Partial<SeamedAdapter>
  return adapter.seam ?? SQLITE
}

/** `DatabaseSeam.change` */
export const changing = <Tables, T>(db: Kysely<Tables>, work: (transaction: Kysely<Tables>) => Promise<T>): Promise<T> =>
  seamOf(db).change(db, work)
