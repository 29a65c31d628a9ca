import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { changing, seamOf } from './seam.ts'

/** A table of a schema, in an order in which rows find those that they refer to. */
export interface CopiedTable {
  readonly name: string
  readonly key: readonly string[]
  /** Rows at once: few where they are large. */
  readonly page: number
  /** Counts up by itself: goes on behind what was copied. */
  readonly counts?: true
  /** What of a row is carried over; null for nothing. Missing: all of each. */
  carried?(row: CopiedRow): CopiedRow | null
}

export type CopiedRow = Readonly<Record<string, unknown>>

export interface TableCount {
  readonly table: string
  readonly rows: number
}

/** By the names of the tables, for programs. */
export const rowsOf = (tables: readonly TableCount[]): Record<string, number> =>
  Object.fromEntries(tables.map(({ table, rows }) => [table, rows]))

/** A line for each, for people. */
export function tableLines(tables: readonly TableCount[]): string[] {
  const width = Math.max(...tables.map(({ table }) => table.length))
  return tables.map(({ table, rows }) => `${table.padEnd(width)}  ${rows}`)
}

/** With a SHA-256 of all that is in the rows: the same in both databases. */
export interface CopiedCount extends TableCount {
  readonly digest: string
}

/**
 * Copies what is in these tables into another database, all of it or nothing, and reads it back before it counts. @param copied told how many rows of a table there are so far; what it
 * throws ends the copy. @returns how many rows each has.
 * @throws KeylimeError `conflict` when the other database has something already, `database_failed` when it does not give back what it was given.
 */
export function copyTables(
  source: Kysely<unknown>,
  target: Kysely<unknown>,
  tables: readonly CopiedTable[],
  copied: (table: string, rows: number) => void = () => undefined,
): Promise<CopiedCount[]> {
  return changing(target, async (transaction) => {
    await refuseRows(transaction, tables)
    const counts: CopiedCount[] = []
    for (const table of tables) {
      const read = fingerprint()
      for await (const rows of pages(source, table)) {
        const carried = table.carried ? rows.map((row) => table.carried!(row)).filter((row) => row !== null) : rows
        read.add(carried)
        if (carried.length > 0) await insert(transaction, table.name, carried)
        copied(table.name, read.rows())
      }
      if (table.counts) await countOn(transaction, table)
      const written = fingerprint()
      for await (const rows of pages(transaction, table)) written.add(rows)
      const digest = written.digest()
      if (read.digest() !== digest)
        throw new KeylimeError(
          'database_failed',
          `table ${table.name} did not come back as it was: ${read.rows()} rows were read, ${written.rows()} are there`,
        )
      counts.push({ table: table.name, rows: written.rows(), digest })
    }
    return counts
  })
}

/** The same figures of tables as they are. */
export async function digestTables(
  db: Kysely<unknown>,
  tables: readonly CopiedTable[],
  looked: (table: string, rows: number) => void,
): Promise<CopiedCount[]> {
  const counts: CopiedCount[] = []
  for (const table of tables) {
    const read = fingerprint()
    for await (const rows of pages(db, table)) {
      read.add(rows)
      looked(table.name, read.rows())
    }
    counts.push({ table: table.name, rows: read.rows(), digest: read.digest() })
  }
  return counts
}

/** Those that a database of an earlier version has. */
export async function tablesIn(db: Kysely<unknown>, tables: readonly CopiedTable[]): Promise<CopiedTable[]> {
  const found: CopiedTable[] = []
  for (const table of tables) if (await hasTable(db, table.name)) found.push(table)
  return found
}

/** @param schema of a server; that in which names are looked up where it is missing. */
export async function hasTable(db: Kysely<unknown>, name: string, schema?: string): Promise<boolean> {
  const { rows } = await (seamOf(db).name === 'sqlite'
    ? sql`select 1 from sqlite_master where type = 'table' and name = ${name}`
    : sql`select 1 from pg_tables where schemaname = ${schema ?? sql`current_schema()`} and tablename = ${name}`
  ).execute(db)
  return rows.length > 0
}

/** @throws KeylimeError `conflict` where there is something. */
export async function refuseRows(db: Kysely<unknown>, tables: readonly CopiedTable[]): Promise<void> {
  for (const { table, rows } of await countRows(db, tables)) if (rows > 0) throw notEmpty(table, rows)
}

/** Milliseconds: while one of two databases is written or read, the other one waits. */
const COPYING_MS = 600_000

/** Part of a transaction, before its first look: a server does not end it because the other database takes its time. */
export async function awaitCopy(transaction: Kysely<unknown>): Promise<void> {
  if (seamOf(transaction).name === 'postgresql')
    await sql`set local idle_in_transaction_session_timeout = ${sql.lit(COPYING_MS)}`.execute(transaction)
}

export async function countRows(db: Kysely<unknown>, tables: readonly CopiedTable[]): Promise<TableCount[]> {
  const counts: TableCount[] = []
  for (const { name } of tables) {
    const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(name)}`.execute(db)
    counts.push({ table: name, rows: Number(rows[0]!.n) })
  }
  return counts
}

async function* pages(db: Kysely<unknown>, { name, key, page }: CopiedTable): AsyncGenerator<readonly CopiedRow[]> {
  const columns = sql.join(key.map((column) => sql.ref(column)))
  for (let last: CopiedRow | undefined; ; ) {
    const after = last === undefined ? sql`` : sql`where (${columns}) > (${sql.join(key.map((column) => last![column]))})`
    const { rows } = await sql<CopiedRow>`select * from ${sql.table(name)} ${after} order by ${columns} limit ${page}`.execute(db)
    if (rows.length > 0) yield rows
    if (rows.length < page) return
    last = rows.at(-1)
  }
}

async function insert(db: Kysely<unknown>, table: string, rows: readonly CopiedRow[]): Promise<void> {
  const columns = Object.keys(rows[0]!)
  const values = rows.map((row) => sql`(${sql.join(columns.map((column) => row[column]))})`)
  await sql`insert into ${sql.table(table)} (${sql.join(columns.map((column) => sql.ref(column)))}) values ${sql.join(values)}`.execute(db)
}

/** SQLite goes on behind the largest by itself. */
async function countOn(db: Kysely<unknown>, { name, key }: CopiedTable): Promise<void> {
  if (seamOf(db).name === 'sqlite') return
  const column = sql.ref(key[0]!)
  await sql`select setval(pg_get_serial_sequence(${name}, ${key[0]}), (select coalesce(max(${column}), 0) + 1 from ${sql.table(name)}), false)`.execute(
    db,
  )
}

function fingerprint() {
  const hash = createHash('sha256')
  let count = 0
  return {
    add(rows: readonly CopiedRow[]): void {
      count += rows.length
      for (const row of rows) for (const column of Object.keys(row).toSorted()) hash.update(`${column}=${textOf(row[column])}\n`)
    },
    rows: () => count,
    digest: () => hash.copy().digest('hex'),
  }
}

/** As both databases give it; a zero character is what PostgreSQL has in its place. */
const textOf = (value: unknown): string =>
  ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
    : JSON.stringify(value).replaceAll('\\u0000', '\ufffd')

const notEmpty = (table: string, rows: number) =>
  new KeylimeError('conflict', `the database to copy into is not empty: table ${table} has ${rows} rows`, {
    hint: 'name another one, or remove what is there yourself; nothing was copied',
  })
