import { stat } from 'node:fs/promises'
import { sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import type { ReadingRules } from '../../core/judging/read-policy.ts'
import { refuseRows, type TableCount } from './copy-tables.ts'
import { type ImportReport, importUpstream } from './import-upstream.ts'
import { refuseLiving } from './living-verifiers.ts'
import { lookAtMove, lookAtTarget, moveDatabase, openTarget } from './move-database.ts'
import type { MarkedPlace, MovedRole } from './move-role.ts'
import { type DatabasePlace, openDatabase } from './open-database.ts'
import { canonicalFile } from './role-lock.ts'
import type { UpstreamVerifier } from './upstream-source.ts'
import { VERIFIER_TABLES } from './verifier-copy.ts'
import { makeShared } from './verifier-database.ts'
import { MARKED_VERSION, VERIFIER_MIGRATIONS } from './verifier-schema.ts'

const VERIFIER: MovedRole = {
  name: 'verifier',
  tables: VERIFIER_TABLES,
  migrations: VERIFIER_MIGRATIONS,
  marked: MARKED_VERSION,
  share: makeShared,
  refuseRunning: refuseLiving,
  // One that starts waits here to say that it lives.
  async hold(transaction, place) {
    await sql`lock table verifiers in access exclusive mode`.execute(transaction)
    await refuseLiving(transaction, place)
  },
}

/** A mark stands beside the file itself, by whatever name it was found. */
const canonical = async (given: MarkedPlace): Promise<MarkedPlace> =>
  typeof given.place === 'string' ? { place: given.place, marked: await canonicalFile(given.place) } : given

/**
 * Moves all that a verifier has stored into another database (`moveDatabase`). @param now milliseconds since the epoch.
 * @returns how many rows each table has. @throws KeylimeError as `lookAtMove`.
 */
export const migrateVerifier = async (from: MarkedPlace, to: MarkedPlace, { now }: { now: number }): Promise<TableCount[]> =>
  moveDatabase(VERIFIER, await canonical(from), await canonical(to), now)

/** What there is to move, and whether it could be. Changes nothing. @throws KeylimeError as `lookAtMove`. */
export const lookAtMigration = async (from: MarkedPlace, to: MarkedPlace): Promise<TableCount[]> =>
  lookAtMove(VERIFIER, await canonical(from), await canonical(to))

export interface TakeOverOptions {
  /** Finds out what would be taken over, and keeps nothing. */
  readonly dryRun: boolean
  /** By which policies are read. */
  readonly rules: ReadingRules
}

/** Takes over what upstream's verifier has stored; its own database is only read. */
export async function migrateFromUpstream(
  source: UpstreamVerifier,
  to: MarkedPlace,
  { dryRun, rules }: TakeOverOptions,
): Promise<ImportReport> {
  await lookAtTarget(VERIFIER, to.place)
  if (dryRun) {
    const nowhere = await openDatabase<unknown>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
    return importUpstream(source, nowhere, rules).finally(() => nowhere.destroy())
  }
  const target = await openTarget(VERIFIER, await canonical(to))
  try {
    const report = await target.fill(async (transaction) => {
      await refuseRows(transaction, VERIFIER_TABLES)
      return importUpstream(source, transaction, rules)
    })
    await target.take(null)
    return report
  } finally {
    await target.close()
  }
}

/** A file that is to be read must be there: opening it would make it. @throws KeylimeError `not_found`. */
export async function requireFile(place: DatabasePlace): Promise<void> {
  if (typeof place !== 'string' || (await stat(place).catch(() => null))) return
  throw new KeylimeError('not_found', `there is no database ${place}`, { hint: '--from names the database that is used now' })
}
