import { isKeylimeError, rootCause } from '../../core/errors.ts'
import { isPassing } from '../db/postgres-errors.ts'

/** Whether a commit was refused, by what is stored: whoever asked for it hears why, and the database is well. */
export const isRefusal = (error: unknown): boolean => isKeylimeError(error) && !isPassing(error) && error.code !== 'database_failed'

/** What operators meet, by the code of SQLite, PostgreSQL or the system. */
const WORDS: Readonly<Record<string, string>> = {
  ...{ SQLITE_FULL: 'the disk is full', ENOSPC: 'the disk is full', '53100': 'the disk of the server is full' },
  ...{ ECONNREFUSED: 'nothing listens at its address', ECONNRESET: 'the connection was cut', ENOTFOUND: 'its name is not known' },
  ...{ '53300': 'the server has no connection left', '57P03': 'the server is starting or stopping', '57P01': 'the server is stopping' },
  ...{ '28P01': 'the server refuses the password', '25006': 'the server only accepts reads' },
}

/** Of an error that is no refusal, by its code: its text may name a machine, or the server. */
export function unwritableBy(error: unknown): string {
  const { code } = rootCause(error) as { code?: unknown }
  if (typeof code === 'string' && !isKeylimeError(rootCause(error))) return Object.hasOwn(WORDS, code) ? `${WORDS[code]} (${code})` : code
  return isPassing(error) ? 'the server does not answer' : 'unknown reason'
}
