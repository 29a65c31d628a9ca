import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { z } from 'zod'
import { type DatabaseAge, type DatabaseMark, judgeAge } from '../../core/attestation/database-age.ts'
import { isKeylimeError } from '../../core/errors.ts'
import { writeFileAtomic } from '../files/atomic-file.ts'
import { readText } from '../files/read-file.ts'
import type { Migration } from './migrate.ts'
import { seamOf } from './seam.ts'

/** What a run found, and how it goes on. */
export interface MarkKeeper {
  readonly age: DatabaseAge
  readonly inside: DatabaseMark
  readonly beside: DatabaseMark | null
  /** What was found was acted upon: from now on this database counts, and no older copy of any. */
  settle(): Promise<void>
  /** Brings the mark beside the database up to it, if it is not. @throws KeylimeError `file_failed`. */
  record(): Promise<void>
}

/** Counts every change of the tables, in the transaction that makes it. */
export const markTables =
  (tables: readonly string[]): Migration =>
  async (db) => {
    await sql`create table database_mark(one integer primary key check(one = 1), database text not null, changes integer not null, at integer not null)`.execute(
      db,
    )
    await sql`insert into database_mark values(1, ${randomUUID().replaceAll('-', '')}, 0, 0)`.execute(db)
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

const shape = z.object({ database: z.string(), changes: z.number().int().min(0), at: z.number().int().min(0) })

/**
 * Compares a database with the mark beside it (`FILE.mark`). @param isMarked false for one that had no mark before: then there is none beside it either.
 * @throws KeylimeError `file_failed` for a mark that cannot be read.
 */
export async function openMark(db: Kysely<unknown>, file: string, isMarked: boolean): Promise<MarkKeeper> {
  const markFile = `${file}.mark`
  const inside = await markOf(db)
  const beside = await readMark(markFile)
  let written = beside?.changes ?? -1
  async function write(mark: DatabaseMark): Promise<void> {
    await writeFileAtomic(markFile, `${JSON.stringify(mark)}\n`, 0o600)
    written = mark.changes
  }
  return {
    age: isMarked ? judgeAge(inside, beside) : 'current',
    inside,
    beside,
    async settle() {
      const changes = Math.max(inside.changes, beside?.changes ?? 0) + 1
      await sql`update database_mark set changes = ${seamOf(db).greatest(sql.ref('changes'), changes)}`.execute(db)
      await write(await markOf(db))
    },
    async record() {
      const mark = await markOf(db)
      if (mark.changes !== written) await write(mark)
    },
  }
}

async function markOf(db: Kysely<unknown>): Promise<DatabaseMark> {
  const { rows } = await sql<DatabaseMark>`select database, changes, at from database_mark`.execute(db)
  return shape.parse(rows[0])
}

/** Null for none. What is there and is no mark was damaged, and is as good as none. */
async function readMark(file: string): Promise<DatabaseMark | null> {
  const text = await readText(file).catch((error) => {
    if (isKeylimeError(error) && error.code === 'not_found') return null
    throw error
  })
  try {
    return text === null ? null : shape.parse(JSON.parse(text))
  } catch {
    return null
  }
}
