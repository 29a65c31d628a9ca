import { stat } from 'node:fs/promises'
import { KeylimeError } from '../../core/errors.ts'
import { copyTables, countRows, type TableCount } from './copy-tables.ts'
import { leaveBehind } from './database-mark.ts'
import { type ImportReport, importUpstream } from './import-upstream.ts'
import { type DatabasePlace, nameOfPlace, openDatabase } from './open-database.ts'
import { lookAtServer } from './open-postgres.ts'
import type { UpstreamVerifier } from './upstream-source.ts'
import { VERIFIER_TABLES } from './verifier-copy.ts'
import { type OpenedDatabase, openVerifierDatabase } from './verifier-database.ts'
import { VERIFIER_MIGRATIONS } from './verifier-schema.ts'

/** A database and what its mark stands beside (`markPlace`). */
export interface MarkedPlace {
  readonly place: DatabasePlace
  readonly marked: string
}

/**
 * Copies all that a verifier has stored into another database, and leaves the first one behind as an older one: who starts on it again is told, and its V are withheld.
 * @returns how many rows each table has. @throws KeylimeError `conflict` while a verifier uses one of the two, for one that was put back and not looked at yet, or for one that is not empty.
 */
export async function migrateVerifier(from: MarkedPlace, to: MarkedPlace): Promise<TableCount[]> {
  if (nameOfPlace(from.place) === nameOfPlace(to.place)) throw new KeylimeError('usage', 'from and to name the same database')
  const source = await openAlone(from)
  const counts = await copyInto(source, to).finally(source.close)
  await leaveBehind(source.marked, source.mark)
  return counts
}

async function copyInto(source: OpenedDatabase, to: MarkedPlace): Promise<TableCount[]> {
  const target = await openAlone(to)
  return copyTables(source.database, target.database, VERIFIER_TABLES).finally(target.close)
}

/** Takes over what upstream's verifier has stored; its own database is only read. @param dryRun finds out what would be taken over, and keeps nothing. */
export async function migrateFromUpstream(source: UpstreamVerifier, to: MarkedPlace, dryRun: boolean): Promise<ImportReport> {
  if (dryRun) {
    const nowhere = await openDatabase<unknown>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
    return importUpstream(source, nowhere).finally(() => nowhere.destroy())
  }
  const target = await openAlone(to)
  return importUpstream(source, target.database).finally(target.close)
}

/** What there is to copy, and whether it could be. Copies nothing. */
export async function lookAtMigration(from: MarkedPlace, to: MarkedPlace): Promise<TableCount[]> {
  if (typeof to.place !== 'string') await lookAtServer(to.place)
  const source = await openAlone(from)
  try {
    return await countRows(source.database, VERIFIER_TABLES)
  } finally {
    await source.close()
  }
}

async function openAlone(at: MarkedPlace): Promise<OpenedDatabase> {
  const opened = await openVerifierDatabase({ ...at, name: 'migrate' })
  try {
    if (opened.shared && (await opened.shared.leases.beat()) > 1)
      throw new KeylimeError('conflict', `a verifier uses ${nameOfPlace(at.place)}`, { hint: 'stop all of them first' })
    if (opened.mark.age !== 'current' && opened.mark.inside.changes > 0)
      throw new KeylimeError('conflict', `${nameOfPlace(at.place)} is not the database that was here last, or an older one`, {
        hint: 'start the verifier on it once: it looks at what is there, and withholds each V that it may have released',
      })
    return opened
  } catch (error) {
    await opened.close()
    throw error
  }
}

/** A file that is to be read must be there: opening it would make it. @throws KeylimeError `not_found`. */
export async function requireFile(place: DatabasePlace): Promise<void> {
  if (typeof place !== 'string' || (await stat(place).catch(() => null))) return
  throw new KeylimeError('not_found', `there is no database ${place}`, { hint: '--from names the database that is used now' })
}
