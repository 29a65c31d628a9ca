import { stat } from 'node:fs/promises'
import type { Kysely } from 'kysely'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import { judgeAge } from '../../core/attestation/database-age.ts'
import { KeylimeError } from '../../core/errors.ts'
import { awaitCopy, copyTables, countRows, refuseRows, type TableCount, tablesIn } from './copy-tables.ts'
import { disown, markOf, overtake } from './database-mark.ts'
import { leaveDatabase } from './leave-database.ts'
import { markBeside, writeMark } from './mark-file.ts'
import { refuseNewer } from './migrate.ts'
import { type MarkedPlace, type MovedRole, schemaOf } from './move-role.ts'
import { hasSchema } from './moved-schema.ts'
import { type DatabasePlace, nameOfPlace, openDatabase } from './open-database.ts'
import { openToRead, schemaVersionIn } from './open-to-read.ts'
import { canonicalFile, lockRoleFile, refuseLockedFile } from './role-lock.ts'
import { changing } from './seam.ts'

/**
 * Moves all that a role has stored into another database. Wherever it ends, by a crash too, one of the two at most releases what is in it: the new one counts as another one until the first
 * one is left (`leaveDatabase`), and goes on under its mark from then on, so that each host that knew the first one knows this one. @param now milliseconds since the epoch.
 * @returns how many rows each table has. @throws KeylimeError as `lookAtMove`.
 */
export async function moveDatabase(role: MovedRole, from: MarkedPlace, to: MarkedPlace, now: number): Promise<TableCount[]> {
  await lookAtMove(role, from, to)
  const target = await openTarget(role, to)
  try {
    const leaving = { to: nameOfPlace(to.place), now }
    const { result, mark } = await leaveDatabase(role, from, leaving, (snapshot) =>
      target.fill((transaction) => copyTables(snapshot, transaction, role.tables)),
    )
    await target.take(mark)
    return result
  } finally {
    await target.close()
  }
}

/** What is filled with what another database had. */
export interface MoveTarget {
  /** One change, while the role does not run on it. From then on it counts as another database for everybody. */
  fill<T>(work: (transaction: Kysely<unknown>) => Promise<T>): Promise<T>
  /** It is the one that counts here. @param mark under which it goes on; null for its own. */
  take(mark: DatabaseMark | null): Promise<void>
  close(): Promise<void>
}

/** Opens what is to be filled, and makes it where it is missing. @throws KeylimeError `conflict` while the role runs on it; as `openDatabase`. */
export async function openTarget(role: MovedRole, { place, marked }: MarkedPlace): Promise<MoveTarget> {
  const held = typeof place === 'string' ? (await lockRoleFile(role.name, place)).lock : null
  let database: Kysely<unknown> | null = null
  const close = async () => {
    await database?.destroy()
    await held?.release()
  }
  try {
    if (typeof place !== 'string') await (await import('./open-postgres.ts')).makeSchema(place, schemaOf(role))
    const opened = await openDatabase<unknown>(place, role.name, role.migrations)
    database = opened
    if (typeof place !== 'string') await role.share(opened)
    return {
      fill: (work) =>
        changing(opened, async (transaction) => {
          await awaitCopy(transaction)
          if (typeof place !== 'string') await role.hold(transaction, place)
          const result = await work(transaction)
          await disown(transaction)
          return result
        }),
      async take(mark) {
        const inside = await markOf(opened)
        await writeMark(marked, await overtake(opened, mark ?? inside, [inside, await markBeside(marked)]))
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * What there is to move, and whether it could be. Changes nothing. @throws KeylimeError `conflict` while the role runs on one of the two, for one that was put back and not looked at yet, or
 * one that is not empty; `not_found` where there is nothing of the role; `database_failed` for a schema of a newer program.
 */
export async function lookAtMove(role: MovedRole, from: MarkedPlace, to: MarkedPlace): Promise<TableCount[]> {
  if (nameOfPlace(from.place) === nameOfPlace(to.place))
    throw new KeylimeError('usage', '--from and --to name the same database', {
      hint: '--from names the database that is used now, and --to an empty one',
    })
  const tables = await reading(role, from.place, (db, version) => lookAtSource(role, from, { db, version }))
  await lookAtTarget(role, to.place)
  return tables
}

async function lookAtSource(
  role: MovedRole,
  { place, marked }: MarkedPlace,
  { db, version }: { db: Kysely<unknown>; version: number },
): Promise<TableCount[]> {
  if (version === 0) {
    if (typeof place !== 'string') await hasSchema(db, schemaOf(role), nameOfPlace(place))
    throw new KeylimeError('not_found', `${nameOfPlace(place)} is not a ${role.name}’s database`, {
      hint: `--from names the database that is used now: database_url in ${role.name}.conf`,
    })
  }
  const [inside, beside] = version < role.marked ? [null, null] : [await markOf(db), await markBeside(marked)]
  if (inside && inside.changes > 0 && judgeAge(inside, beside) !== 'current')
    throw new KeylimeError(
      'conflict',
      `${nameOfPlace(place)} may be older than what was used here last: it was moved before, or put back`,
      {
        hint: `if it was moved, set database_url in ${role.name}.conf to the copy; otherwise start the ${role.name} on it once: it says what is missing`,
      },
    )
  return countRows(db, await tablesIn(db, role.tables))
}

/** @throws KeylimeError as `lookAtMove`. */
export async function lookAtTarget(role: MovedRole, place: DatabasePlace): Promise<void> {
  if (typeof place === 'string') {
    await canonicalFile(place) // its directory is there
    if (!(await stat(place).catch(() => null))?.size) return
  }
  await reading(role, place, async (db) => refuseRows(db, await tablesIn(db, role.tables)))
}

/** Looks into a database on which the role does not run. @param work is given the version of its schema; 0 for none. */
async function reading<T>(role: MovedRole, place: DatabasePlace, work: (db: Kysely<unknown>, version: number) => Promise<T>): Promise<T> {
  if (typeof place === 'string') await refuseLockedFile(role.name, place)
  else await (await import('./open-postgres.ts')).lookAtServer(place)
  const db = await openToRead(place, schemaOf(role))
  try {
    const version = await schemaVersionIn(db, role.name, nameOfPlace(place))
    refuseNewer(role.name, version, role.migrations.length)
    if (typeof place !== 'string') await role.refuseRunning(db, place)
    return await work(db, version)
  } finally {
    await db.destroy()
  }
}
