import { type Kysely, sql } from 'kysely'
import type { Migration } from './migrate.ts'

/** Which authority each machine is known to believe: it goes with the enrolment, another enrolment begins anew. */
export const FOLLOWER_TABLES: Migration = async (db) => {
  await sql`create table authority_followers(
    agent_id text primary key references agents(agent_id) on delete cascade, authority text not null) without rowid`.execute(db)
}

interface Tables {
  authority_followers: { agent_id: string; authority: string }
}
export type FollowerTables = Tables

/** Durable when a method returns. Authorities are told apart by `keyHash`. */
export interface FollowerStore {
  /** Nothing for an agent that is not enrolled any more; of one that another verifier attests, nothing is said either. */
  add(agentId: string, authority: string): Promise<void>
  has(agentId: string, authority: string): Promise<boolean>
  /** Ids of all that believe it. */
  of(authority: string): Promise<Set<string>>
}

export function followerStore(database: Kysely<unknown>): FollowerStore {
  const db = database as Kysely<Tables>
  return {
    async add(agentId, authority) {
      await sql`insert into authority_followers select agent_id, ${authority} from agents where agent_id = ${agentId}
        on conflict(agent_id) do update set authority = excluded.authority`.execute(db)
    },
    async has(agentId, authority) {
      const query = db.selectFrom('authority_followers').select('agent_id').where('agent_id', '=', agentId)
      return (await query.where('authority', '=', authority).executeTakeFirst()) !== undefined
    },
    async of(authority) {
      const rows = await db.selectFrom('authority_followers').select('agent_id').where('authority', '=', authority).execute()
      return new Set(rows.map((row) => row.agent_id))
    },
  }
}
