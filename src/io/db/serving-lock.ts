import { KeylimeError } from '../../core/errors.ts'
import { SERVING } from './living-registrars.ts'
import { nameOfPlace } from './open-database.ts'
import { asKeylimeError } from './postgres-errors.ts'
import { openClient, type PostgresPlace } from './postgres-pool.ts'

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
  let current: Awaited<ReturnType<typeof openClient>> | null = null
  let opening: Promise<void> | null = null
  let isReleased = false

  async function open(): Promise<void> {
    const client = await openClient(place)
    client.on('error', () => undefined)
    client.once('end', () => {
      if (current === client) current = null
    })
    try {
      const { rows } = await client.query<{ mine: boolean }>(`select pg_try_advisory_lock_shared(${SERVING.join()}) as mine`)
      if (!rows[0]!.mine) throw moving(place)
      if (isReleased) return void (await client.end())
      current = client
    } catch (error) {
      await client.end().catch(() => undefined)
      throw error
    }
  }

  async function others(): Promise<boolean> {
    const { rows } = await current!.query(`select 1 from pg_locks where locktype = 'advisory' and granted and objsubid = 2
      and database = (select oid from pg_database where datname = current_database())
      and classid = ${SERVING[0]} and objid = ${SERVING[1]} and pid <> pg_backend_pid() limit 1`)
    return rows.length > 0
  }

  try {
    await open()
    const isShared = await others()
    return {
      isShared,
      async ensure() {
        if (current || isReleased) return
        opening ??= open()
          .catch(() => undefined) // it is away for all that it does
          .finally(() => {
            opening = null
          })
        await opening
      },
      async release() {
        isReleased = true
        await opening
        await current?.end().catch(() => undefined)
      },
    }
  } catch (error) {
    throw asKeylimeError(error, nameOfPlace(place))
  }
}

const moving = (place: PostgresPlace) =>
  new KeylimeError('conflict', `the registrar’s data in ${nameOfPlace(place)} are being moved`, {
    hint: 'wait until "keylime registrar migrate" ends',
  })
