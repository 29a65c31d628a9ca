import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { type Kysely, sql } from 'kysely'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { type BackupHead, openBackup, writeHead } from './backup-file.ts'
import { type CopiedCount, copyTables, tablesIn } from './copy-tables.ts'
import { markOf } from './database-mark.ts'
import { type DatabasePlace, nameOfPlace, openDatabase } from './open-database.ts'
import { asOfNow, openToRead } from './open-to-read.ts'
import { tablesOfBackup } from './verifier-copy.ts'
import { MARKED_VERSION, VERIFIER_MIGRATIONS } from './verifier-schema.ts'

export interface BackupOptions {
  /** `uuid` of the verifier. */
  readonly verifier: string
  readonly program: string
  readonly now: () => number
  /** Whether a backup that is there already is replaced. */
  readonly replace: boolean
  /** As for `copyTables`. */
  readonly copied: (table: string, rows: number) => void
}

/**
 * Writes what a verifier has stored, as it is at one moment, into a file; the verifier may run. There is no V in it (`tablesOfBackup`). The file is whole or not there, for its owner only.
 * @throws KeylimeError `not_found` for a database that is not there, `already_exists` for a file that is, `database_failed`, `file_failed`, `unavailable`.
 */
export async function backupVerifier(place: DatabasePlace, file: string, options: BackupOptions): Promise<BackupHead> {
  await checkTarget(file, options.replace)
  const source = await openToRead(place, 'keylime_verifier')
  try {
    return await writeWhole(file, (temporary) =>
      asOfNow(source, async (snapshot) => {
        const takenAt = options.now()
        const schema = await versionOf(snapshot, place)
        const head = { verifier: options.verifier, takenAt, program: options.program, schema, mark: await markOf(snapshot) }
        return fill(temporary, head, (target, tables) => copyTables(snapshot, target, tables, options.copied))
      }),
    )
  } catch (error) {
    throw isKeylimeError(error) ? error : failed(error as Error, file)
  } finally {
    await source.destroy()
  }
}

type Copy = (target: Kysely<unknown>, tables: ReturnType<typeof tablesOfBackup>) => Promise<CopiedCount[]>

async function fill(file: string, head: Omit<BackupHead, 'tables'>, copy: Copy): Promise<BackupHead> {
  const target = await openDatabase<unknown>(file, 'verifier', VERIFIER_MIGRATIONS.slice(0, head.schema))
  try {
    const whole = { ...head, tables: await copy(target, await tablesIn(target, tablesOfBackup())) }
    await writeHead(target, whole)
    await sql`pragma journal_mode = delete`.execute(target) // one file, which can be read where nothing can be written
    return whole
  } finally {
    await target.destroy()
  }
}

/** Of an older program, too: a backup is taken before an upgrade. */
async function versionOf(db: Kysely<unknown>, place: DatabasePlace): Promise<number> {
  const { rows } = await sql<{ version: number }>`select version from keylime_schema where name = 'verifier'`.execute(db).catch((error) => {
    if (isKeylimeError(error) && error.code === 'unavailable') throw error
    return { rows: [] }
  })
  const version = rows[0]?.version
  if (version === undefined)
    throw new KeylimeError('not_found', `${nameOfPlace(place)} is not a verifier's database`, {
      hint: 'database_url in verifier.conf names the one that is used',
    })
  if (version >= MARKED_VERSION && version <= VERIFIER_MIGRATIONS.length) return version
  throw new KeylimeError(
    'database_failed',
    `the database has version ${version}, and this program reads ${MARKED_VERSION} to ${VERIFIER_MIGRATIONS.length}`,
    { hint: 'take the backup with the program that uses the database' },
  )
}

async function checkTarget(file: string, replace: boolean): Promise<void> {
  const there = await fs.lstat(file).catch(() => null)
  if (there === null) return
  if (there.isDirectory()) throw new KeylimeError('file_failed', `${file} is a directory`, { hint: 'name a file in it' })
  if (!replace)
    throw new KeylimeError('already_exists', `${file} is there already`, {
      hint: 'name another file, or replace this backup with --replace',
    })
  await (await openBackup(file)).close() // nothing else is replaced
}

/** A file that is in its place when `write` has filled it, and not before. */
async function writeWhole<T>(file: string, write: (temporary: string) => Promise<T>): Promise<T> {
  const directory = path.dirname(path.resolve(file))
  const temporary = path.join(directory, `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    if (!(await fs.stat(directory).catch(() => null))?.isDirectory())
      throw new KeylimeError('file_failed', `there is no directory ${directory}`, { hint: 'make it, readable by its owner only' })
    await removeHalf(file)
    const result = await write(temporary)
    await sync(temporary)
    await fs.rename(temporary, file)
    await sync(directory)
    return result
  } catch (error) {
    for (const end of ['', '-wal', '-shm', '-journal']) await fs.rm(`${temporary}${end}`, { force: true }).catch(() => undefined)
    throw error
  }
}

const LEFT_MS = 3_600_000

/** What a backup to this file left that was killed; another one that is under way is younger. */
async function removeHalf(file: string): Promise<void> {
  const directory = path.dirname(path.resolve(file))
  for (const name of await fs.readdir(directory)) {
    if (!name.startsWith(`.${path.basename(file)}.`) || !/\.[0-9a-f]{12}\.tmp/.test(name)) continue
    const stat = await fs.lstat(path.join(directory, name)).catch(() => null)
    if (stat && stat.mtimeMs < Date.now() - LEFT_MS) await fs.rm(path.join(directory, name), { force: true })
  }
}

async function sync(file: string): Promise<void> {
  const handle = await fs.open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const failed = (cause: Error, file: string) =>
  new KeylimeError('file_failed', `cannot write the backup ${file}: ${cause.message}`, {
    cause,
    hint: 'check the free space and the permissions of its directory; nothing was left there',
  })
