import { type Kysely, sql } from 'kysely'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { awaitCopy } from './copy-tables.ts'
import { disown, leaveBehind, markOf } from './database-mark.ts'
import { type MarkedPlace, type MovedRole, schemaOf } from './move-role.ts'
import { movedSchema } from './moved-schema.ts'
import { nameOfPlace, openDatabase } from './open-database.ts'
import type { PostgresPlace } from './postgres-pool.ts'
import { lockRoleFile } from './role-lock.ts'
import { changing } from './seam.ts'

export interface Leaving {
  /** Where it goes, for people. */
  readonly to: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

export interface Left<T> {
  readonly result: T
  /** That the database had. */
  readonly mark: DatabaseMark
}

/**
 * Leaves a database for another. `work` copies it, as it is at one moment; nobody runs on it meanwhile, and nothing that wakes behind that finds it: on a server its schema has another name
 * then, a file is an older one by its own mark. Whatever ends the copy, it stays as it was. @throws KeylimeError `conflict` while the role runs on it, and what `work` throws.
 */
export const leaveDatabase = <T>(
  role: MovedRole,
  { place, marked }: MarkedPlace,
  leaving: Leaving,
  work: (snapshot: Kysely<unknown>) => Promise<T>,
): Promise<Left<T>> => (typeof place === 'string' ? leaveFile(role, { place, marked }, work) : leaveSchema(role, place, leaving, work))

async function leaveFile<T>(
  role: MovedRole,
  { place, marked }: { place: string; marked: string },
  work: (snapshot: Kysely<unknown>) => Promise<T>,
): Promise<Left<T>> {
  const { name, lock } = await lockRoleFile(role.name, place)
  try {
    const database = await openDatabase<unknown>(name, role.name, role.migrations)
    try {
      const { inside, ...left } = await changing(database, async (transaction) => {
        const mark = await markOf(transaction)
        return { mark, result: await work(transaction), inside: await disown(transaction) }
      })
      await leaveBehind(marked, inside)
      return left
    } finally {
      await database.destroy()
    }
  } finally {
    await lock.release()
  }
}

async function leaveSchema<T>(
  role: MovedRole,
  place: PostgresPlace,
  { to, now }: Leaving,
  work: (snapshot: Kysely<unknown>) => Promise<T>,
): Promise<Left<T>> {
  const database = await openDatabase<unknown>(place, role.name, role.migrations)
  try {
    await role.share(database)
    return await database
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        await awaitCopy(transaction)
        // Before the first look, which is what the snapshot shows: changes that are under way end first, and none begins.
        const tables = role.tables.map(({ name }) => sql.table(name))
        await sql`lock table ${sql.join(tables)} in share mode`.execute(transaction)
        await role.hold(transaction, place)
        const mark = await markOf(transaction)
        const kept = movedSchema(schemaOf(role), now)
        await rename(transaction, place, { from: schemaOf(role), to: kept })
        await sql.raw(`set local search_path to ${kept}`).execute(transaction)
        const result = await work(transaction)
        await disown(transaction)
        await sql`comment on schema ${sql.id(kept)} is ${sql.lit(`moved to ${to}`)}`.execute(transaction)
        return { result, mark }
      })
  } finally {
    await database.destroy()
  }
}

/** First of all: a user who may not do it is told before anything is copied. */
const rename = (transaction: Kysely<unknown>, place: PostgresPlace, { from, to }: { from: string; to: string }): Promise<unknown> =>
  sql
    .raw(`alter schema ${from} rename to ${to}`)
    .execute(transaction)
    .catch((cause) => {
      if (!isKeylimeError(cause) || cause.code !== 'database_failed') throw cause
      throw new KeylimeError(
        'database_failed',
        `cannot rename the schema ${from} of ${nameOfPlace(place)}, which nobody may use afterwards`,
        {
          cause,
          hint: `"grant create on database ${place.server.database} to USER", and "alter schema ${from} owner to USER"`,
        },
      )
    })
