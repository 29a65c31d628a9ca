import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import type { PostgresServer } from '../../core/database-url.ts'
import { KeylimeError } from '../../core/errors.ts'

/**
 * The password that a passfile has for a server: the one that `database_url` or PGPASSFILE names, else ~/.pgpass (PostgreSQL's manual, "The Password File"). Undefined for none.
 * @throws KeylimeError `unavailable` for a file that was named and is not there, or that others may read.
 */
export async function passwordFromPassfile(server: PostgresServer, user: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const named = server.passfile ?? env['PGPASSFILE']
  const file = named || path.join(homedir(), '.pgpass')
  const text = await readPassfile(file).catch((cause) => {
    if (!named && (cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    if (cause instanceof KeylimeError) throw cause
    throw new KeylimeError('unavailable', `the passfile of the database cannot be read: ${(cause as Error).message}`, { cause })
  })
  const wanted = [server.host, String(server.port), server.database, user]
  return text
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map(fieldsOf)
    .find((fields) => fields.length >= wanted.length + 1 && wanted.every((value, i) => matches(fields[i]!, value)))?.[wanted.length]
}

async function readPassfile(file: string): Promise<string> {
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0)
    throw new KeylimeError('unavailable', `the passfile ${file} can be read by others, so it is not used`, {
      hint: `chmod 600 ${file}`,
    })
  return readFile(file, 'utf8')
}

/** A colon or a backslash in a field has a backslash before it. */
const fieldsOf = (line: string): string[] =>
  (line.match(/(?:\\.|[^:\\])*(?::|$)/gs) ?? []).map((field) => field.replace(/:$/, '').replace(/\\(.)/gs, '$1'))

/** The server of a socket is called localhost there. */
const matches = (field: string, value: string): boolean =>
  field === '*' || field === value || (field === 'localhost' && value.startsWith('/'))
