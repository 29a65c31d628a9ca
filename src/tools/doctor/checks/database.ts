import fs from 'node:fs'
import { quickCheck } from '../../../io/db/quick-check.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, error } = findingsOf('database')

/** Whether the databases of a role are whole. It holds up this thread: run it behind the others. */
export async function checkDatabases({ where }: Subject): Promise<Finding[]> {
  return where.databases.flatMap((file) => judgeDatabase(file, fs.existsSync(file) ? quickCheck(file) : null))
}

/** @param damages what SQLite says is wrong; null where there is no file. */
export function judgeDatabase(file: string, damages: readonly string[] | null): Finding[] {
  if (damages === null)
    return [note(`${file} is not there`, 'the first start makes it; where there was one, its machines are gone with it')]
  if (damages.length === 0) return [ok(`${file} is whole`, 'SQLite finds no damage')]
  return [
    error(
      `${file} is damaged: ${damages.join('; ')}`,
      'what is enrolled may be lost: stop the service, keep a copy of the file, and put a backup in its place',
      `sqlite3 ${file} ".recover" | sqlite3 ${file}.recovered`,
    ),
  ]
}
