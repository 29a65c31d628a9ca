import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Kysely } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { holdLock } from '../files/hold-lock.ts'
import { type MarkKeeper, openMark } from './database-mark.ts'
import type { SchemaChange } from './migrate.ts'
import { type DatabasePlace, nameOfPlace, openDatabase } from './open-database.ts'
import { MARKED_VERSION, VERIFIER_MIGRATIONS } from './verifier-schema.ts'

export type VerifierDatabase = Kysely<unknown>

export interface OpenedDatabase {
  database: VerifierDatabase
  /** What was done to it. */
  schema: SchemaChange
  /** Whether it is the one that was here last. */
  mark: MarkKeeper
  close(): Promise<void>
}

/**
 * Opens the verifier's database for this process alone: two verifiers on one SQLite file would both attest every agent, and give V to two transport keys.
 * @throws KeylimeError `conflict` when another verifier has it open; as `openDatabase`.
 */
export async function openVerifierDatabase(place: DatabasePlace): Promise<OpenedDatabase> {
  if (typeof place === 'string') return openFile(place)
  throw new KeylimeError('config_invalid', `the verifier cannot use ${nameOfPlace(place)} yet`, { hint: 'use SQLite' })
}

async function openFile(file: string): Promise<OpenedDatabase> {
  const name = await canonical(file)
  const lockFile = `${name}.verifier.lock`
  const lock = await holdLock(lockFile)
  if (!lock)
    throw new KeylimeError('conflict', `another verifier is running on ${file}`, {
      hint: `stop it first ("fuser ${lockFile}" names the process), or give this one a KEYLIME_DIR and ports of its own`,
    })
  try {
    let schema: SchemaChange = { from: 0, to: 0 }
    const database = await openDatabase<unknown>(file, 'verifier', VERIFIER_MIGRATIONS, (change) => {
      schema = change
    })
    const mark = await openMark(database, name, schema.from === 0 || schema.from >= MARKED_VERSION).catch(async (error) => {
      await database.destroy()
      throw error
    })
    return {
      database,
      schema,
      mark,
      async close() {
        await mark.record().catch(() => undefined) // one that is behind is that of a run that was killed
        await database.destroy()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** The same file under another name is the same database. */
async function canonical(file: string): Promise<string> {
  const whole = await realpath(file).catch(() => null)
  if (whole !== null) {
    if ((await stat(whole)).nlink > 1)
      throw new KeylimeError(
        'database_failed',
        `the database ${file} has a second name (a hard link), under which another verifier could open it`,
        {
          hint: `find the other name with "find -samefile ${file}" and remove it`,
        },
      )
    return whole
  }
  const directory = await realpath(path.dirname(file)).catch((cause) => {
    throw new KeylimeError('database_failed', `cannot open the database ${file}: ${cause.message}`, {
      cause,
      hint: 'check that the directory exists and is writable for this user',
    })
  })
  return path.join(directory, path.basename(file))
}
