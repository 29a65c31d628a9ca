import path from 'node:path'
import type { Argv } from 'yargs'
import { withConfigFile } from '../../../config/files.ts'
import { MIGRATE_OPTIONS, type MigrateArguments, withoutStartOptions } from '../../../core/cli/database-options.ts'
import { systemClock } from '../../../io/clock.ts'
import { rowsOf, type TableCount, tableLines } from '../../../io/db/copy-tables.ts'
import { migrateRegistrar, type RegistrationsReport, registrationsFromUpstream } from '../../../io/db/migrate-registrar.ts'
import { requireFile } from '../../../io/db/migrate-verifier.ts'
import type { MarkedPlace } from '../../../io/db/move-role.ts'
import { databasePlace, markPlace, nameOfPlace } from '../../../io/db/open-database.ts'
import { openUpstreamRegistrar } from '../../../io/db/upstream-source.ts'
import { printJson, printLines } from '../../../io/terminal/print.ts'
import { loadRegistrarSettings, type RegistrarSettings } from '../registrar-settings.ts'

/** `keylime registrar migrate`. @param choose has it run when the command line is read. */
export const addMigrateWord = (yargs: Argv, choose: (run: () => Promise<number>) => void): Argv =>
  yargs.command('migrate', 'Copy what the registrar has stored into another database', options as never, (argv) =>
    choose(() => migrate(argv as never)),
  )

const options = (yargs: Argv): Argv<MigrateArguments> =>
  withoutStartOptions(yargs)
    .usage(
      'Copies what the registrar has stored (registrations, revocations, expected TPMs, machines that wait) from one database to another, both ways between SQLite and PostgreSQL, and reads it back before it counts. Stop the registrar first, and set database_url afterwards. --from may also be the database of an upstream registrar (7.x), which is only read: its agents need not register again.\nNo registrar uses the first database from then on: a file stays, and counts as an older one; on PostgreSQL its schema is renamed (keylime_registrar_moved_…), and a registrar that still has that URL does not start.\nExit codes: 0 copied, 1 something in the way or rows left out, 4 a server that cannot be reached, 6 no such file.\n\nUsage: keylime registrar migrate --from URL --to URL [options]',
    )
    .example('keylime registrar migrate --from sqlite --to postgresql://keylime@db.example/keylime --dry-run', 'only look')
    .example('keylime registrar migrate --from sqlite:////srv/upstream/reg_data.sqlite --to sqlite', 'take over an upstream registrar')
    .options(MIGRATE_OPTIONS) as unknown as Argv<MigrateArguments>

async function migrate({ from, to, dryRun = false, json = false, config }: MigrateArguments): Promise<number> {
  const settings = loadRegistrarSettings(withConfigFile(process.env, 'registrar', config))
  const [source, target] = [placeOf(from, settings), placeOf(to, settings)]
  await requireFile(source.place)
  const upstream = await openUpstreamRegistrar(source.place)
  if (upstream) {
    const taking = registrationsFromUpstream(upstream, target, { dryRun, now: systemClock.now() })
    return takeOver(await taking.finally(upstream.close), { dryRun, json })
  }
  const tables = await migrateRegistrar(source, target, { dryRun, now: systemClock.now() })
  const names = { from: nameOfPlace(source.place), to: nameOfPlace(target.place) }
  if (json) printJson({ ...names, copied: !dryRun, tables: rowsOf(tables) })
  else printLines([...tableLines(tables), outcome(tables, { ...names, dryRun })])
  return 0
}

/** What came of an upstream's database. */
function takeOver({ registrations, left }: RegistrationsReport, { dryRun, json }: { dryRun: boolean; json: boolean }): number {
  if (json) printJson({ copied: !dryRun, registrations, left })
  else
    printLines([
      ...left.map(({ what, why }) => `left out: ${what}: ${why}`),
      `${registrations} registrations of an upstream registrar ${dryRun ? 'would be' : 'were'} taken over, ${left.length} left out`,
    ])
  return left.length > 0 ? 1 : 0
}

/** A password file of registrar.conf counts for both. */
function placeOf(url: string, { values, keylimeDir }: RegistrarSettings): MarkedPlace {
  const file = path.join(keylimeDir, 'reg_data.sqlite')
  const place = databasePlace({ ...values, database_url: url }, file)
  return { place, marked: markPlace(place, file) }
}

function outcome(tables: readonly TableCount[], { from, to, dryRun }: { from: string; to: string; dryRun: boolean }): string {
  const count = tables.find(({ table }) => table === 'registered_agents')?.rows ?? 0
  if (dryRun) return `${count} registrations would be copied from ${from} to ${to}; nothing was changed`
  return `${count} registrations were copied from ${from} to ${to}, and read back; set database_url in registrar.conf and start the registrar`
}
