import { type Kysely, sql } from 'kysely'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import { markOf } from './database-mark.ts'

/** A database that is made beside the one that counts, and takes its place as a whole. */
export interface Replacement {
  /** What is there now, as far as it can be read; null for nothing. */
  readonly before: BeforeReplacement | null
  /** The new one: empty, in the version of a schema that was asked for. */
  readonly database: Kysely<unknown>
  /** Puts it into its place, whole or not at all, and closes it. @returns where the one before is kept; null where there was none. @throws KeylimeError `conflict`. */
  swap(): Promise<string | null>
  /** What is not in its place is gone. */
  close(): Promise<void>
}

/** Null for what cannot be read: a damaged one is replaced, too. */
export interface BeforeReplacement {
  readonly mark: DatabaseMark | null
  /** Ids of all machines. */
  readonly agentIds: readonly string[] | null
}

/** What a database that is to be replaced says, as far as it can be read. */
export async function readBefore(db: Kysely<unknown>): Promise<BeforeReplacement> {
  const mark = await markOf(db).catch(() => null)
  const agentIds = await sql<{ agent_id: string }>`select agent_id from agents order by agent_id`.execute(db).then(
    ({ rows }) => rows.map((row) => row.agent_id),
    () => null,
  )
  return { mark, agentIds }
}
