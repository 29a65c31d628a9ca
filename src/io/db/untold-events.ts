import { type Kysely, sql } from 'kysely'
import { readEvent, type VerifierEvent } from '../../core/events/verifier-event.ts'
import type { Migration } from './migrate.ts'

/** Events of what a command did to the database while no verifier ran: the next that starts on it tells them. */
export const UNTOLD_EVENTS: Migration = async (db) => {
  await sql`create table untold_events(id integer primary key autoincrement, event text not null)`.execute(db)
}

export interface UntoldEvents {
  /** In the order in which they happened; what this version does not know is left out. */
  all(): Promise<VerifierEvent[]>
  /** They are in the audit log. */
  forget(): Promise<void>
}

/** What is added while a verifier runs is told by the next one: `forget` forgets what `all` gave. */
export function untoldEvents(db: Kysely<unknown>): UntoldEvents {
  let last = 0
  return {
    async all() {
      const { rows } = await sql<{ id: number; event: string }>`select id, event from untold_events order by id`.execute(db)
      last = rows.at(-1)?.id ?? 0
      return rows.flatMap(({ event }) => readEvent(JSON.parse(event)) ?? [])
    },
    async forget() {
      await sql`delete from untold_events where id <= ${last}`.execute(db)
    },
  }
}

/** Part of a transaction. */
export async function leaveUntold(transaction: Kysely<unknown>, events: readonly VerifierEvent[]): Promise<void> {
  for (const event of events) await sql`insert into untold_events(event) values(${JSON.stringify(event)})`.execute(transaction)
}
