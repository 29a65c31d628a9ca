import { type Kysely, sql } from 'kysely'
import { causeChain } from '../../core/errors.ts'
import { tpmOf } from '../../core/identity/tpm-of-record.ts'
import { upstreamRegistration } from '../../core/upstream/registrar-row.ts'
import { type CopiedTable, refuseRows, type TableCount } from './copy-tables.ts'
import { refuseServing } from './living-registrars.ts'
import { lookAtMove, lookAtTarget, moveDatabase, openTarget } from './move-database.ts'
import type { MarkedPlace, MovedRole } from './move-role.ts'
import { openDatabase } from './open-database.ts'
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

const REGISTRAR: MovedRole = {
  name: 'registrar',
  tables: REGISTRAR_TABLES,
  migrations: REGISTRAR_MIGRATIONS,
  marked: MARKED_REGISTRAR,
  share: async () => undefined,
  refuseRunning: refuseServing,
  hold: refuseServing,
}

/**
 * Moves all that a registrar has stored into another database (`moveDatabase`). @param dryRun only looks, and changes nothing. @param now milliseconds since the epoch.
 * @returns how many rows each table has. @throws KeylimeError as `lookAtMove`.
 */
export const migrateRegistrar = (
  from: MarkedPlace,
  to: MarkedPlace,
  { dryRun, now }: { dryRun: boolean; now: number },
): Promise<TableCount[]> => (dryRun ? lookAtMove(REGISTRAR, from, to) : moveDatabase(REGISTRAR, from, to, now))

/** Takes over what upstream's registrar has stored; its own database is only read. @param dryRun finds out what would be taken over, and keeps nothing. */
export async function registrationsFromUpstream(
  source: UpstreamRegistrar,
  to: MarkedPlace,
  { dryRun, now }: { dryRun: boolean; now: number },
): Promise<RegistrationsReport> {
  await lookAtTarget(REGISTRAR, to.place)
  if (dryRun) {
    const nowhere = await openDatabase<unknown>(':memory:', 'registrar', REGISTRAR_MIGRATIONS)
    return importRegistrations(source, nowhere, now).finally(() => nowhere.destroy())
  }
  const target = await openTarget(REGISTRAR, to)
  try {
    const report = await target.fill(async (transaction) => {
      await refuseRows(transaction, REGISTRAR_TABLES)
      return importRegistrations(source, transaction, now)
    })
    await target.take(null)
    return report
  } finally {
    await target.close()
  }
}

/** All of it in one change, or nothing. What cannot be used is left out and told, never fatal. */
function importRegistrations(source: UpstreamRegistrar, target: Kysely<unknown>, now: number): Promise<RegistrationsReport> {
  return changing(target, async (transaction) => {
    const store = registrarStore(transaction)
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
