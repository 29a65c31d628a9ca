import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import type { DatabasePlace } from './open-database.ts'

const MAGIC = 'SQLite format 3\0'

/** Looks whether a start could open a database, and changes nothing. @param keylimeDir is made by the start when it is missing. @throws KeylimeError `database_failed`, `unavailable`. */
export async function checkDatabase(place: DatabasePlace, keylimeDir: string): Promise<void> {
  if (typeof place === 'string') return checkFile(place, keylimeDir)
  const { lookAtServer } = await import('./open-postgres.ts')
  await lookAtServer(place)
}

async function checkFile(file: string, keylimeDir: string): Promise<void> {
  const stat = await fs.stat(file).catch(() => null)
  if (stat === null) {
    const directory = path.dirname(file)
    if (directory === keylimeDir || (await fs.stat(directory).catch(() => null))?.isDirectory()) return
    throw failed(`its directory ${directory} does not exist`, file, 'make the directory, or correct database_url')
  }
  if (!stat.isFile()) throw failed('it is not a file', file, 'correct database_url')
  await fs.access(file, fs.constants.R_OK | fs.constants.W_OK).catch((cause: Error) => {
    throw failed(cause.message, file, 'give the file to the user who runs this')
  })
  const handle = await fs.open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0)
    if (bytesRead > 0 && buffer.toString('latin1') !== MAGIC)
      throw failed('it is not an SQLite database', file, 'correct database_url, or move the file away')
  } finally {
    await handle.close()
  }
}

const failed = (why: string, file: string, hint: string) =>
  new KeylimeError('database_failed', `cannot open the database ${file}: ${why}`, { hint })
