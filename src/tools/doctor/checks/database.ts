import fs from 'node:fs'
import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import { type DatabasePlace, nameOfPlace } from '../../../io/db/open-database.ts'
import { lookAtServer } from '../../../io/db/open-postgres.ts'
import type { PostgresPlace } from '../../../io/db/postgres-pool.ts'
import { quickCheck } from '../../../io/db/quick-check.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, error } = findingsOf('database')

/** Whether the databases of a role are whole. It holds up this thread: run it behind the others. */
export async function checkDatabases({ where }: Subject): Promise<Finding[]> {
  const found = where.databases.map(async (place) =>
    typeof place === 'string' ? judgeDatabase(place, fs.existsSync(place) ? quickCheck(place) : null) : [await lookAt(place)],
  )
  return (await Promise.all(found)).flat()
}

/** Whether a server takes us; of what it keeps it looks after itself. */
async function lookAt(place: DatabasePlace): Promise<Finding> {
  const name = nameOfPlace(place)
  try {
    const { version, name: user } = await lookAtServer(place as PostgresPlace)
    return ok(`${name} answers`, `PostgreSQL ${version}, as user ${user}`)
  } catch (cause) {
    const hint = isKeylimeError(cause) ? cause.hint : undefined
    return error(causeChain(cause).join(': '), hint ?? 'the role does not start, or stores nothing, until it answers')
  }
}

/** @param damages what SQLite says is wrong; null where there is no file. */
export function judgeDatabase(file: string, damages: readonly string[] | null): Finding[] {
  if (damages === null) return [note(`${file} is not there`, 'the first start makes it; if there was one before, its machines are lost')]
  if (damages.length === 0) return [ok(`${file} is whole`, 'SQLite finds no damage')]
  return [
    error(
      `${file} is damaged: ${damages.join('; ')}`,
      'what is enrolled may be lost: stop the service, keep a copy of the file, and restore a backup',
      `sqlite3 ${file} ".recover" | sqlite3 ${file}.recovered`,
    ),
  ]
}
