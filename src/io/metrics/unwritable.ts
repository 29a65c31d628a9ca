import { isKeylimeError, rootCause } from '../../core/errors.ts'
import { isPassing } from '../db/postgres-errors.ts'

/** Whether a commit was refused, by what is stored: whoever asked for it hears why, and the database is well. */
export const isRefusal = (error: unknown): boolean => isKeylimeError(error) && !isPassing(error) && error.code !== 'database_failed'

/** Of an error that is no refusal, by its code: its text may name a machine, or the server. */
export function unwritableBy(error: unknown): string {
  const { code } = rootCause(error) as { code?: unknown }
  if (typeof code === 'string' && !isKeylimeError(rootCause(error))) return code
  return isPassing(error) ? 'the server does not answer' : 'unknown reason'
}
