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
}

export interface TableCount {
  readonly table: string
  readonly rows: number
}

/**
 * Copies what is in these tables into another database, all of it or nothing, and reads it back before it counts. @returns how many rows each has.
 * @throws KeylimeError `conflict` when the other database has something already, `database_failed` when it does not give back what it was given.
 */
export function copyTables(source: Kysely<unknown>, target: Kysely<unknown>, tables: readonly CopiedTable[]): Promise<TableCount[]> {
  return changing(target, async (transaction) => {
    for (const { table, rows } of await countRows(transaction, tables)) if (rows > 0) throw notEmpty(table, rows)
    const counts: TableCount[] = []
    for (const table of tables) {
      for await (const rows of pages(source, table)) await insert(transaction, table.name, rows)
      if (table.counts) await countOn(transaction, table)
      const [read, written] = [await fingerprint(source, table), await fingerprint(transaction, table)]
      if (read.digest !== written.digest)
        throw new KeylimeError(
          'database_failed',
          `table ${table.name} did not come back as it was: ${read.rows} rows were read, ${written.rows} are there`,
        )
      counts.push({ table: table.name, rows: read.rows })
    }
    return counts
  })
}

export async function countRows(db: Kysely<unknown>, tables: readonly CopiedTable[]): Promise<TableCount[]> {
  const counts: TableCount[] = []
  for (const { name } of tables) {
    const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(name)}`.execute(db)
    counts.push({ table: name, rows: Number(rows[0]!.n) })
  }
  return counts
}

type Row = Readonly<Record<string, unknown>>

async function* pages(db: Kysely<unknown>, { name, key, page }: CopiedTable): AsyncGenerator<readonly Row[]> {
  const columns = sql.join(key.map((column) => sql.ref(column)))
  for (let last: Row | undefined; ; ) {
    const after = last === undefined ? sql`` : sql`where (${columns}) > (${sql.join(key.map((column) => last![column]))})`
    const { rows } = await sql<Row>`select * from ${sql.table(name)} ${after} order by ${columns} limit ${page}`.execute(db)
    if (rows.length > 0) yield rows
    if (rows.length < page) return
    last = rows.at(-1)
  }
}

async function insert(db: Kysely<unknown>, table: string, rows: readonly Row[]): Promise<void> {
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

async function fingerprint(db: Kysely<unknown>, table: CopiedTable): Promise<{ rows: number; digest: string }> {
  const hash = createHash('sha256')
  let count = 0
  for await (const rows of pages(db, table))
    for (const row of rows) {
      count++
      for (const column of Object.keys(row).toSorted()) hash.update(`${column}=${textOf(row[column])}\n`)
    }
  return { rows: count, digest: hash.digest('hex') }
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
