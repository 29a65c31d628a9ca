import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { z } from 'zod'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import type { CopiedCount } from './copy-tables.ts'
import { openToRead } from './open-to-read.ts'
import { VERIFIER_MIGRATIONS } from './verifier-schema.ts'

/** Of the form of a backup, not of the schema in it. */
const FORMAT = 1

/** What a backup says of itself. */
export interface BackupHead {
  /** `uuid` of the verifier that it is of. */
  readonly verifier: string
  /** When it was taken, in milliseconds since the epoch. */
  readonly takenAt: number
  /** Version of the program that took it, and of the schema in it. */
  readonly program: string
  readonly schema: number
  /** How far the database had come. */
  readonly mark: DatabaseMark
  readonly tables: readonly CopiedCount[]
}

/** A backup is a database of SQLite with the verifier's tables, and with one more table that says what it is. */
export interface BackupFile {
  readonly head: BackupHead
  readonly database: Kysely<unknown>
  close(): Promise<void>
}

const head = z.object({
  format: z.number().int(),
  verifier: z.string(),
  takenAt: z.number().int().min(0),
  program: z.string(),
  schema: z.number().int().min(1),
  mark: z.object({ database: z.string(), changes: z.number().int().min(0), at: z.number().int().min(0) }),
  tables: z.array(z.object({ table: z.string(), rows: z.number().int(), digest: z.string() })),
})

/** Part of the making of a backup, behind what is in it. */
export async function writeHead(db: Kysely<unknown>, given: BackupHead): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, ...given })
  await sql`create table keylime_backup(one integer primary key check(one = 1), head text not null, digest text not null)`.execute(db)
  await sql`insert into keylime_backup values(1, ${text}, ${digestOf(text)})`.execute(db)
}

/**
 * Opens a backup and reads what it says of itself; whether its tables are whole is found out when they are read (`damaged`). Changes nothing.
 * @throws KeylimeError `not_found`; `malformed` for what is no backup, or a damaged one; `database_failed` for one of a newer program.
 */
export async function openBackup(file: string): Promise<BackupFile> {
  const database = await openToRead(file, '').catch((error) => {
    throw isKeylimeError(error) && error.code === 'not_found'
      ? new KeylimeError('not_found', `there is no backup ${file}`)
      : damaged(file, (error as Error).message)
  })
  try {
    return { head: await readHead(database, file), database, close: () => database.destroy() }
  } catch (error) {
    await database.destroy()
    throw error
  }
}

async function readHead(database: Kysely<unknown>, file: string): Promise<BackupHead> {
  const { rows } = await sql<{ head: string; digest: string }>`select head, digest from keylime_backup`.execute(database).catch((error) => {
    if (/no such table/.test(error.message)) throw noBackup(file)
    throw /not a database/.test(error.message) ? noBackup(file) : damaged(file, error.message)
  })
  const [row] = rows
  if (!row || digestOf(row.head) !== row.digest) throw damaged(file, 'what it says about itself was changed')
  const { format, ...read } = head.parse(JSON.parse(row.head))
  if (format > FORMAT || read.schema > VERIFIER_MIGRATIONS.length)
    throw new KeylimeError(
      'database_failed',
      `the backup ${file} comes from a newer program (${read.program}): its schema has version ${read.schema}, this program knows ${VERIFIER_MIGRATIONS.length}`,
      { hint: 'restore it with that program or a newer one; nothing was changed' },
    )
  return read
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** @param why what was found. */
export const damaged = (file: string, why: string): KeylimeError =>
  new KeylimeError('malformed', `the backup ${file} is damaged: ${why}`, { hint: 'use another backup; nothing was changed' })

const noBackup = (file: string) =>
  new KeylimeError('malformed', `${file} is not a backup of a verifier`, { hint: '"keylime verifier backup FILE" makes one' })
