import { type Kysely, sql } from 'kysely'
import { causeChain, KeylimeError } from '../../core/errors.ts'
import { tpmOf } from '../../core/identity/tpm-of-record.ts'
import { upstreamRegistration } from '../../core/upstream/registrar-row.ts'
import { type CopiedTable, copyTables, countRows, type TableCount } from './copy-tables.ts'
import { leaveBehind, type MarkKeeper, openMark } from './database-mark.ts'
import type { MarkedPlace } from './migrate-verifier.ts'
import { nameOfPlace, openDatabase } from './open-database.ts'
import { MARKED_REGISTRAR, REGISTRAR_MIGRATIONS } from './registrar-schema.ts'
import { registrarStore } from './registrar-store.ts'
import { changing } from './seam.ts'
import type { UpstreamRegistrar } from './upstream-source.ts'

/** All that a registrar stores for good. Registrations that have not proved their TPM yet (`pending_registrations`) are made again by their agents. */
export const REGISTRAR_TABLES: readonly CopiedTable[] = [
  { name: 'registered_agents', key: ['agent_id'], page: 500 },
  { name: 'registered_facts', key: ['fact', 'agent_id'], page: 500 },
  { name: 'revoked_agents', key: ['agent_id'], page: 500 },
  { name: 'revoked_facts', key: ['fact', 'agent_id'], page: 500 },
  { name: 'expected_tpms', key: ['kind', 'digits'], page: 500 },
  { name: 'waiting_machines', key: ['agent_id', 'ek_key'], page: 500 },
]

/** What was taken over of upstream's, and what could not be. */
export interface RegistrationsReport {
  readonly registrations: number
  readonly left: readonly { readonly what: string; readonly why: string }[]
}

/**
 * Copies all that a registrar has stored into another database, and leaves the first one behind as an older one. @param dryRun copies nothing.
 * @returns how many rows each table has. @throws KeylimeError `conflict` for one that was put back and not looked at yet, or a target that is not empty.
 */
export async function migrateRegistrar(from: MarkedPlace, to: MarkedPlace, dryRun: boolean): Promise<TableCount[]> {
  if (nameOfPlace(from.place) === nameOfPlace(to.place)) throw new KeylimeError('usage', 'from and to name the same database')
  const source = await openMarked(from)
  try {
    if (dryRun) return await countRows(source.database, REGISTRAR_TABLES)
    const target = await openMarked(to)
    const counts = await copyTables(source.database, target.database, REGISTRAR_TABLES).finally(target.close)
    await leaveBehind(from.marked, source.mark)
    return counts
  } finally {
    await source.database.destroy()
  }
}

/** Takes over what upstream's registrar has stored; its own database is only read. @param dryRun finds out what would be taken over, and keeps nothing. */
export async function registrationsFromUpstream(
  source: UpstreamRegistrar,
  to: MarkedPlace,
  { dryRun, now }: { dryRun: boolean; now: number },
) {
  if (dryRun) {
    const nowhere = await openDatabase<unknown>(':memory:', 'registrar', REGISTRAR_MIGRATIONS)
    return importRegistrations(source, nowhere, now).finally(() => nowhere.destroy())
  }
  const target = await openMarked(to)
  return importRegistrations(source, target.database, now).finally(target.close)
}

/** All of it in one change, or nothing. What cannot be used is left out and told, never fatal. @throws KeylimeError `conflict` for a database that has registrations already. */
function importRegistrations(source: UpstreamRegistrar, target: Kysely<unknown>, now: number): Promise<RegistrationsReport> {
  return changing(target, async (transaction) => {
    const store = registrarStore(transaction)
    if ((await store.list()).length > 0)
      throw new KeylimeError('conflict', 'the database to copy into already has registrations', {
        hint: 'name another one; nothing was copied',
      })
    const left: { what: string; why: string }[] = []
    let registrations = 0
    for await (const row of source.registrations()) {
      await sql`savepoint one_registration`.execute(transaction)
      try {
        const record = upstreamRegistration(row, now)
        const [other] = await store.othersOfTpm(tpmOf(record))
        if (other !== undefined) throw new Error(`its TPM is that of ${other}, and one TPM has one id`)
        await store.activate(record)
        registrations++
      } catch (error) {
        await sql`rollback to savepoint one_registration`.execute(transaction)
        left.push({ what: `agent ${String(row['agent_id'])}`, why: causeChain(error, MAX_WHY).join(': ') })
      }
    }
    return { registrations, left }
  })
}

const MAX_WHY = 300

interface Opened {
  readonly database: Kysely<unknown>
  readonly mark: MarkKeeper
  /** With its mark up to it. */
  close(): Promise<void>
}

async function openMarked({ place, marked }: MarkedPlace): Promise<Opened> {
  let from = 0
  const database = await openDatabase<unknown>(place, 'registrar', REGISTRAR_MIGRATIONS, (change) => {
    from = change.from
  })
  try {
    const mark = await openMark(database, marked, { isMarked: from === 0 || from >= MARKED_REGISTRAR })
    if (mark.age !== 'current' && mark.inside.changes > 0)
      throw new KeylimeError('conflict', `${nameOfPlace(place)} is not the database that was here last, or an older one`, {
        hint: 'start the registrar on it once: it says what that means',
      })
    return {
      database,
      mark,
      async close() {
        await mark.record().catch(() => undefined) // one that is behind is that of a run that was killed
        await database.destroy()
      },
    }
  } catch (error) {
    await database.destroy()
    throw error
  }
}
