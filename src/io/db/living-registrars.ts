import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { nameOfPlace } from './open-database.ts'
import type { PostgresPlace } from './postgres-pool.ts'

/** Advisory lock of a server's database that each registrar on it shares for as long as it runs, and who moves its data has alone: "keyl", and the first. */
export const SERVING = [0x6b65796c, 1] as const

/** Until the transaction ends, no registrar begins. @param db without a transaction: only looks. @throws KeylimeError `conflict` while one runs. */
export async function refuseServing(db: Kysely<unknown>, place: PostgresPlace): Promise<void> {
  const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_xact_lock(${sql.raw(SERVING.join())}) as mine`.execute(db)
  if (rows[0]!.mine) return
  throw new KeylimeError('conflict', `another registrar is running on ${nameOfPlace(place)}`, { hint: 'stop all of them first' })
}
