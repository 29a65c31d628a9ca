import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { lookIntoFile } from './look-into-file.ts'
import { refuseNewer } from './migrate.ts'
import type { DatabasePlace } from './open-database.ts'

const MAGIC = 'SQLite format 3\0'

/** What a start would open. */
export interface ExpectedDatabase {
  /** Is made by the start when it is missing. */
  readonly keylimeDir: string
  readonly role: 'verifier' | 'registrar'
  /** The newest version of the schema that this program knows. */
  readonly newest: number
}

/** Looks whether a start could open a database, and changes nothing. @throws KeylimeError `database_failed`, `unavailable`, `conflict` where it was moved. */
export async function checkDatabase(place: DatabasePlace, expected: ExpectedDatabase): Promise<void> {
  const { role, newest } = expected
  const version = typeof place === 'string' ? await checkFile(place, role, expected.keylimeDir) : await versionAtServer(place, expected)
  refuseNewer(role, version, newest)
}

const versionAtServer = async (place: Exclude<DatabasePlace, string>, { role, newest }: ExpectedDatabase): Promise<number> => {
  const { lookAtServer, requireSchema } = await import('./open-postgres.ts')
  const schema = `keylime_${role}`
  const { schemaVersion } = await lookAtServer(place, { schema, role })
  if (schemaVersion <= newest) await requireSchema(place, schema)
  return schemaVersion
}

/** @returns the version of its schema; 0 where there is none yet. */
async function checkFile(file: string, role: string, keylimeDir: string): Promise<number> {
  const stat = await fs.stat(file).catch(() => null)
  if (stat === null) {
    const directory = path.dirname(file)
    if (directory === keylimeDir || (await fs.stat(directory).catch(() => null))?.isDirectory()) return 0
    throw failed(`its directory ${directory} does not exist`, file, 'make the directory, or correct database_url')
  }
  if (!stat.isFile()) throw failed('it is not a file', file, 'correct database_url')
  await fs.access(file, fs.constants.R_OK | fs.constants.W_OK).catch((cause: Error) => {
    throw failed(cause.message, file, 'give the file to the user who runs this')
  })
  if (stat.size === 0) return 0
  const handle = await fs.open(file, 'r')
  try {
    const { buffer } = await handle.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0)
    if (buffer.toString('latin1') !== MAGIC)
      throw failed('it is not an SQLite database', file, 'correct database_url, or move the file away')
  } finally {
    await handle.close()
  }
  return versionInFile(file, role)
}

function versionInFile(file: string, role: string): number {
  try {
    const sqlite = lookIntoFile(file)
    try {
      if (!sqlite.prepare("select 1 from sqlite_schema where type = 'table' and name = 'keylime_schema'").get()) return 0
      const row = sqlite.prepare<[string], { version: number }>('select version from keylime_schema where name = ?').get(role)
      return row?.version ?? 0
    } finally {
      sqlite.close()
    }
  } catch (cause) {
    throw failed((cause as Error).message, file, '`keylime doctor` checks it; if it is damaged, restore a backup')
  }
}

const failed = (why: string, file: string, hint: string) =>
  new KeylimeError('database_failed', `cannot open the database ${file}: ${why}`, { hint })
