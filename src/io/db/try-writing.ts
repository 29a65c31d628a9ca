import { type Kysely, sql } from 'kysely'
import { changing } from './seam.ts'

/** A commit that changes nothing: whether a database that has a mark takes any. @throws what it says. */
export const tryWriting = (db: Kysely<unknown>): Promise<unknown> =>
  changing(db, (transaction) => sql`update database_mark set changes = changes`.execute(transaction))
