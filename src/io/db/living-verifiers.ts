import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { LIVING } from './lease-store.ts'
import { nameOfPlace } from './open-database.ts'
import type { PostgresPlace } from './postgres-pool.ts'

/** @param db in whose schema they say that they live. @throws KeylimeError `conflict` while a verifier does. */
export async function refuseLiving(db: Kysely<unknown>, place: PostgresPlace): Promise<void> {
  const { rows: tables } = await sql`select 1 from pg_tables where schemaname = current_schema() and tablename = 'verifiers'`.execute(db)
  if (tables.length === 0) return
  const { rows } = await sql<{ name: string }>`select name from verifiers where run in (${LIVING})`.execute(db)
  if (rows.length === 0) return
  const names = rows.map(({ name }) => name)
  const who = names.length === 1 ? `verifier ${names[0]} runs` : `verifiers ${names.slice(0, -1).join(', ')} and ${names.at(-1)} run`
  throw new KeylimeError('conflict', `${who} on ${nameOfPlace(place)}`, {
    hint: 'stop all of them first; one that was killed counts as gone after six seconds',
  })
}
