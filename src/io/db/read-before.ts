import { type Kysely, sql } from 'kysely'
import { markOf } from './database-mark.ts'
import type { BeforeReplacement } from './replace-database.ts'

/** What a database that is to be replaced says, as far as it can be read. */
export async function readBefore(db: Kysely<unknown>): Promise<BeforeReplacement> {
  const mark = await markOf(db).catch(() => null)
  const agentIds = await sql<{ agent_id: string }>`select agent_id from agents order by agent_id`.execute(db).then(
    ({ rows }) => rows.map((row) => row.agent_id),
    () => null,
  )
  return { mark, agentIds }
}
