import { KeylimeError } from '../../core/errors.ts'
import { keptClient, type PostgresClient } from './kept-client.ts'
import { SERVING } from './living-registrars.ts'
import { nameOfPlace } from './open-database.ts'
import { asKeylimeError } from './postgres-errors.ts'
import type { PostgresPlace } from './postgres-pool.ts'

/** A registrar says that it runs, for as long as its connection lives. */
export interface ServingLock {
  /** Whether other registrars run there. */
  readonly isShared: boolean
  /** Says it again after a cut. Never throws. */
  ensure(): Promise<void>
  release(): Promise<void>
}

/** @throws KeylimeError `conflict` while its data are being moved, `unavailable`. */
export async function holdServing(place: PostgresPlace): Promise<ServingLock> {
  const lock = keptClient(place, async (client) => {
    const { rows } = await client.query<{ mine: boolean }>(`select pg_try_advisory_lock_shared(${SERVING.join()}) as mine`)
    if (!rows[0]!.mine) throw moving(place)
  })
  try {
    await lock.open()
    return { isShared: await hasOthers(lock.current!), ensure: lock.ensure, release: lock.close }
  } catch (error) {
    await lock.close()
    throw asKeylimeError(error, nameOfPlace(place))
  }
}

async function hasOthers(client: PostgresClient): Promise<boolean> {
  const { rows } = await client.query(`select 1 from pg_locks where locktype = 'advisory' and granted and objsubid = 2
    and database = (select oid from pg_database where datname = current_database())
    and classid = ${SERVING[0]} and objid = ${SERVING[1]} and pid <> pg_backend_pid() limit 1`)
  return rows.length > 0
}

const moving = (place: PostgresPlace) =>
  new KeylimeError('conflict', `the registrar’s data in ${nameOfPlace(place)} are being moved`, {
    hint: 'wait until "keylime registrar migrate" ends',
  })
