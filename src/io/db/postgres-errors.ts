import { KeylimeError, rootCause } from '../../core/errors.ts'

/** SQLSTATE classes and codes (PostgreSQL, appendix A) that say nothing of what was asked: the server, or the way to it, is not there now, or was busy with others. */
const PASSING = /^(08|28|3D|53|57|40|58)|^(25006|25P03|25P04|55P03)$/

/** How the text of a failure goes on, by what it is. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/^28P01$|no password|password must be a/i, 'check user and password: database_password_file, PGPASSFILE, or in database_url'],
  [/^28000$|pg_hba/i, 'the server’s pg_hba.conf must let this user in from this address, with this kind of TLS'],
  [/^3D000$/, 'make it first: createdb --owner=USER DATABASE'],
  [/^25006$/, 'this server only accepts reads now: let database_url name the one that accepts writes'],
  [/^55P03$/, 'another program has held what is needed for too long: wait until it is done, or end it if it hangs'],
  [/^53300$/, 'raise max_connections of the server, or make database_pool_sz_ovfl smaller'],
  [/does not support SSL/i, 'switch TLS on at the server, or set sslmode=disable in database_url'],
  [
    /CERT|certificate|altname|self.signed|issuer/i,
    'sslrootcert= in database_url names the CA of the server; sslmode=verify-ca does not look at its name, sslmode=require at nothing',
  ],
  [
    /ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ETIMEDOUT|timeout/i,
    'check that the server runs, and that database_url has its address',
  ],
]

/** insufficient_privilege, and invalid_schema_name for a schema that may not be used: the tables, or their schema, are another user's. */
const NOT_OURS = /^(42501|3F000)$/

/** A failure that passes by itself: what was to be stored can be stored later, and says nothing of a machine. */
export const isPassing = (error: unknown): boolean => error instanceof KeylimeError && error.details?.['database'] === 'away'

/** What a failed query means. @param name of the server, for people. @returns `unavailable` for what passes, `database_failed` where the user has no right to it; what the query itself did wrong stays as it is. */
export function asKeylimeError(failure: unknown, name: string): unknown {
  if (failure instanceof KeylimeError) return failure
  const error = withoutAdvice(failure)
  const cause = rootCause(error)
  const code = String((cause as { code?: unknown }).code ?? '')
  const isState = /^[0-9A-Z]{5}$/.test(code) && 'severity' in cause
  if (isState && NOT_OURS.test(code)) return refusesUser(name, cause, error)
  if (isState && !PASSING.test(code)) return error
  const isLate = NO_ANSWER.test((error as Error).message)
  const why = isLate
    ? 'it did not answer in time'
    : NO_PASSWORD.test(cause.message)
      ? 'it asks for a password, and none is given'
      : cause.message || code
  const text = `${code} ${isLate ? 'timeout' : cause.message}`
  const hint = HINTS.find(([pattern]) => pattern.test(code) || pattern.test(text))?.[1]
  return new KeylimeError('unavailable', `the database ${name} cannot be used now: ${why}`, {
    cause: error,
    hint: hint ?? 'see the server’s log',
    details: AWAY,
  })
}

/** Node.js advises whoever starts it, and nobody starts it here. */
function withoutAdvice(error: unknown): unknown {
  const { message, code } = rootCause(error) as NodeJS.ErrnoException
  const [said, advice] = message.split('; if the root CA is installed locally')
  return advice === undefined ? error : Object.assign(new Error(said), { code })
}

/** @param why what the server says. */
export const refusesUser = (name: string, why: Error, cause: unknown = why): KeylimeError =>
  new KeylimeError('database_failed', `the database ${name} refuses this user: ${why.message}`, {
    cause,
    hint: 'let schema, tables and functions belong to the user in database_url: "reassign owned by OTHER to USER", or "alter schema … owner to USER" and the same for each table and function',
  })

/** In the words of the library. */
const NO_ANSWER = /^timeout expired$|^Query read timeout$|due to connection timeout$/
const NO_PASSWORD = /password must be a (non-empty )?string/

export const AWAY = { database: 'away' }

/** Whether the connection that said so can be used no more. */
export function isCut(error: unknown): boolean {
  const cause = rootCause(error) as { code?: unknown; severity?: unknown }
  return cause.severity === undefined || cause.severity === 'FATAL' || cause.severity === 'PANIC'
}
