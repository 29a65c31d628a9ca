import path from 'node:path'
import type { Argv } from 'yargs'
import { withConfigFile } from '../../../config/files.ts'
import { MIGRATE_OPTIONS, type MigrateArguments, withoutStartOptions } from '../../../core/cli/database-options.ts'
import { systemClock } from '../../../io/clock.ts'
import { rowsOf, type TableCount, tableLines } from '../../../io/db/copy-tables.ts'
import type { ImportReport } from '../../../io/db/import-upstream.ts'
import { lookAtMigration, migrateFromUpstream, migrateVerifier, requireFile } from '../../../io/db/migrate-verifier.ts'
import type { MarkedPlace } from '../../../io/db/move-role.ts'
import { databasePlace, markPlace, nameOfPlace } from '../../../io/db/open-database.ts'
import { openUpstreamVerifier } from '../../../io/db/upstream-source.ts'
import { printJson, printLines } from '../../../io/terminal/print.ts'
import type { Choose } from '../audit/audit-words.ts'
import { judgingRulesOf, loadVerifierSettings, type VerifierSettings } from '../verifier-settings.ts'

/** `keylime verifier migrate`. */
export const addMigrateWord = (yargs: Argv, choose: Choose): Argv =>
  yargs.command('migrate', 'Copy what the verifier has stored into another database', options as never, (argv) =>
    choose(() => migrate(argv as never)),
  )

const options = (yargs: Argv): Argv<MigrateArguments> =>
  withoutStartOptions(yargs)
    .usage(
      'Copies everything that the verifier has stored (machines, policies, revocations, history, payloads that wait) from one database to another, both ways between SQLite and PostgreSQL, and reads it back before it counts. Stop the verifier first, and set database_url afterwards. --from may also be the database of an upstream verifier (7.x), which is only read.\nNo verifier uses the first database from then on: a file stays, and counts as an older one; on PostgreSQL its schema is renamed (keylime_verifier_moved_…), and a verifier that still has that URL does not start.\nExit codes: 0 copied, 1 something in the way, 4 a server that cannot be reached, 6 no such file.\n\nUsage: keylime verifier migrate --from URL --to URL [options]',
    )
    .example('keylime verifier migrate --from sqlite --to postgresql://keylime@db.example/keylime --dry-run', 'only look')
    .example('keylime verifier migrate --from postgresql://keylime@db.example/keylime --to sqlite', 'back into KEYLIME_DIR')
    .options(MIGRATE_OPTIONS) as unknown as Argv<MigrateArguments>

async function migrate({ from, to, dryRun = false, json = false, config }: MigrateArguments): Promise<number> {
  const settings = loadVerifierSettings(withConfigFile(process.env, 'verifier', config))
  const [source, target] = [placeOf(from, settings), placeOf(to, settings)]
  await requireFile(source.place)
  const upstream = await openUpstreamVerifier(source.place)
  if (upstream) {
    const taking = migrateFromUpstream(upstream, target, { dryRun, rules: judgingRulesOf(settings.values) })
    return takeOver(await taking.finally(upstream.close), { dryRun, json })
  }
  const tables = await (dryRun ? lookAtMigration(source, target) : migrateVerifier(source, target, { now: systemClock.now() }))
  const names = { from: nameOfPlace(source.place), to: nameOfPlace(target.place) }
  if (json) printJson({ ...names, copied: !dryRun, tables: rowsOf(tables) })
  else printLines([...tableLines(tables), outcome(tables, { ...names, dryRun })])
  return 0
}

/** What came of an upstream's database. */
function takeOver({ agents, policies, withheld, left }: ImportReport, { dryRun, json }: { dryRun: boolean; json: boolean }): number {
  if (json) printJson({ copied: !dryRun, agents, policies, withheld, left })
  else
    printLines([
      ...left.map(({ what, why }) => `left out: ${what}: ${why}`),
      ...withheld.map((agentId) => `V of agent ${agentId} was on its way and is withheld: deliver again with "keylime tenant update"`),
      `${agents} machines and ${policies} policies of an upstream verifier ${dryRun ? 'would be' : 'were'} taken over, ${left.length} left out`,
    ])
  return left.length > 0 ? 1 : 0
}

/** A password file of verifier.conf counts for both. */
function placeOf(url: string, { values, keylimeDir }: VerifierSettings): MarkedPlace {
  const file = path.join(keylimeDir, 'cv_data.sqlite')
  const place = databasePlace({ ...values, database_url: url }, file)
  return { place, marked: markPlace(place, file) }
}

function outcome(tables: readonly TableCount[], { from, to, dryRun }: { from: string; to: string; dryRun: boolean }): string {
  const machines = tables.find(({ table }) => table === 'agents')?.rows ?? 0
  if (dryRun) return `${machines} machines would be copied from ${from} to ${to}; nothing was changed`
  return `${machines} machines were copied from ${from} to ${to}, and read back; set database_url in verifier.conf and start the verifier`
}
