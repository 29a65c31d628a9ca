import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { type DatabaseAge, type DatabaseMark, judgeAge } from '../../core/attestation/database-age.ts'
import { createSerialQueue } from '../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../core/errors.ts'
import { builtOnce } from './built-once.ts'
import { markBeside, markFile, markShape, writeMark } from './mark-file.ts'
import type { Migration } from './migrate.ts'
import { seamOf } from './seam.ts'

/** What a run found, and how it goes on. */
export interface MarkKeeper {
  readonly age: DatabaseAge
  readonly inside: DatabaseMark
  readonly beside: DatabaseMark | null
  /** What was found was acted upon: from now on this database counts, and no older copy of any. */
  settle(): Promise<void>
  /** Brings the mark beside the database up to it, if it is not; what was found is acted upon first. @throws KeylimeError `file_failed`. */
  record(): Promise<void>
}

const newName = () => randomUUID().replaceAll('-', '')

/** Counts every change of the tables, in the transaction that makes it. */
export const markTables =
  (tables: readonly string[]): Migration =>
  async (db) => {
    await sql`create table database_mark(one integer primary key check(one = 1), database text not null, changes integer not null, at integer not null)`.execute(
      db,
    )
    await sql`insert into database_mark values(1, ${newName()}, 0, 0)`.execute(db)
    for (const table of tables) await markTable(db, table)
  }

/** The same for one more table of a database that has a mark. */
export async function markTable(db: Kysely<unknown>, table: string): Promise<void> {
  for (const change of ['insert', 'update', 'delete'])
    await sql
      .raw(
        `create trigger ${table}_${change}_marked after ${change} on ${table} begin update database_mark set changes = changes + 1, at = unixepoch(); end`,
      )
      .execute(db)
}

/**
 * Compares a database with the mark beside it (`FILE.mark`). @param known `isMarked` false for one that had no mark before: then there is none beside it either. `isVouched` for one that
 * others use now: where there is no mark of it here yet, theirs count.
 * @throws KeylimeError `file_failed` for a mark that cannot be read.
 */
export async function openMark(
  db: Kysely<unknown>,
  file: string,
  { isMarked, isVouched = false }: { isMarked: boolean; isVouched?: boolean },
): Promise<MarkKeeper> {
  const inside = await markOf(db)
  const beside = await markBeside(file)
  const isOurs = beside?.database === inside.database
  let written = isOurs ? beside.changes : -1
  const records = createSerialQueue()
  const kept = markFile(file)
  async function write(mark: DatabaseMark): Promise<void> {
    await kept.write(mark)
    written = mark.changes
  }
  const age = isMarked && !(isVouched && !isOurs) ? judgeAge(inside, beside) : 'current'
  /** Until then the mark stays what it is: the next run would be told that all is well. */
  let isHeeded = age === 'current'
  return {
    age,
    inside,
    beside,
    async settle() {
      isHeeded = true
      const changes = Math.max(inside.changes, beside?.changes ?? 0) + 1
      await sql`update database_mark set changes = ${seamOf(db).greatest(sql.ref('changes'), changes)}`.execute(db)
      await write(await markOf(db))
    },
    // One after the other: a mark that was read before another was written is not an older one.
    record: () =>
      records.run(async () => {
        if (!isHeeded) return
        const mark = await markOf(db)
        if (mark.changes < written) throw wentBack(written - mark.changes)
        if (mark.changes !== written) await write(mark)
      }),
  }
}

/**
 * What was in a database is kept in another one from now on: it has another name, so that it is not the one that any host knows. Part of the transaction that takes it away.
 * @returns its mark.
 */
export async function disown(db: Kysely<unknown>): Promise<DatabaseMark> {
  await sql`update database_mark set database = ${newName()}`.execute(db)
  return markOf(db)
}

/** Whoever starts on it again is told that it is an older one, and each V in it is withheld. @param file as for `openMark`. @throws KeylimeError `file_failed`. */
export const leaveBehind = (file: string, inside: DatabaseMark): Promise<void> =>
  writeMark(file, { ...inside, changes: inside.changes + 1 })

/**
 * A database that is to take the place of another goes on under the mark of `from`, with a count beyond all that are known: each of those is an older one from then on. To be written
 * beside it (`mark-file.ts`) once it is in its place: what a crash leaves before is a mark that is behind.
 */
export async function overtake(db: Kysely<unknown>, from: DatabaseMark, known: readonly (DatabaseMark | null)[]): Promise<DatabaseMark> {
  const changes = Math.max(from.changes, ...known.map((mark) => mark?.changes ?? 0)) + 1
  await sql`update database_mark set database = ${from.database}, changes = ${changes}, at = ${from.at}`.execute(db)
  return { ...from, changes }
}

/** A server that takes over for another may not have all that the other had. */
const wentBack = (missing: number) =>
  new KeylimeError('database_failed', `the database is an older one than a moment ago: ${missing} changes are missing`, {
    hint: 'restart the service: it looks at what is there, and withholds each V that it may have released',
  })

/** The mark in a database. */
export async function markOf(db: Kysely<unknown>): Promise<DatabaseMark> {
  const { rows } = await readMark(db)
  return markShape.parse(rows[0])
}

const readMark = builtOnce<unknown, [], DatabaseMark>((db) => ({
  compile: () => sql<DatabaseMark>`select database, changes, at from database_mark`.compile(db),
}))
