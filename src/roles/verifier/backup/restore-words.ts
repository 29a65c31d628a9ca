import path from 'node:path'
import type { Argv } from 'yargs'
import { withConfigFile } from '../../../config/files.ts'
import { type FileArguments, JSON_OPTION, withoutStartOptions } from '../../../core/cli/database-options.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { systemClock } from '../../../io/clock.ts'
import type { BackupHead } from '../../../io/db/backup-file.ts'
import { rowsOf } from '../../../io/db/copy-tables.ts'
import { databasePlace, markPlace, nameOfPlace } from '../../../io/db/open-database.ts'
import { checkBackup, type FoundDatabase, type RestoreReport, restoreVerifier } from '../../../io/db/restore-verifier.ts'
import { askYes } from '../../../io/terminal/ask-yes.ts'
import { printJson, printLine, printLines } from '../../../io/terminal/print.ts'
import type { Choose } from '../audit/audit-words.ts'
import { loadVerifierSettings } from '../verifier-settings.ts'
import { withProgress } from './progress.ts'
import { readSince } from './read-since.ts'
import { countsOf, machines, toDo, whatOf } from './restore-lines.ts'

interface RestoreArguments extends FileArguments {
  yes?: boolean | undefined
  dryRun?: boolean | undefined
}

/** `keylime verifier restore`. */
export const addRestoreWord = (yargs: Argv, choose: Choose): Argv =>
  yargs.command('restore <file>', 'Replace the database with a backup', options as never, (argv) => choose(() => restore(argv as never)))

const options = (yargs: Argv): Argv<RestoreArguments> =>
  withoutStartOptions(yargs)
    .usage(
      'Replaces the database that verifier.conf names, SQLite or PostgreSQL, with a backup of either. Stop the verifier first. The database that was there is kept beside the new one. If anything goes wrong, it stays as it is.\nMachines that had not got their payload when the backup was taken may have got it since: their key is gone, and they get a payload when you deliver it again. The command lists them, and what the audit log has since the backup: machines that you added, deleted or updated, and policies.\nExit codes: 0 restored, 1 something in the way or a damaged backup, 4 a server that cannot be reached, 5 you said no, 6 no such file.\n\nUsage: keylime verifier restore FILE [options]',
    )
    .example('keylime verifier restore verifier.backup --dry-run', 'read the whole backup and say what is in it')
    .example('keylime verifier restore verifier.backup', 'ask, and restore')
    .positional('file', { type: 'string', demandOption: true, describe: 'Backup that "keylime verifier backup" has written' })
    .option('yes', { type: 'boolean', describe: 'Do not ask' })
    .option('dry-run', { type: 'boolean', describe: 'Only check the backup' })
    .option('json', JSON_OPTION) as unknown as Argv<RestoreArguments>

async function restore({ file, yes = false, dryRun = false, json = false, config }: RestoreArguments): Promise<number> {
  const { values, keylimeDir } = loadVerifierSettings(withConfigFile(process.env, 'verifier', config))
  if (dryRun) return check(file, json)
  const fallback = path.join(keylimeDir, 'cv_data.sqlite')
  const place = databasePlace(values, fallback)
  const name = nameOfPlace(place)
  const confirm = (found: FoundDatabase | null, backup: BackupHead) =>
    yes || found === null ? Promise.resolve() : ask(name, found, backup)
  const report = await withProgress(json, 'restoring', (copied) =>
    restoreVerifier(file, { place, marked: markPlace(place, fallback) }, { now: () => systemClock.now(), confirm, copied }),
  )
  const agentIds = new Set(report.agentIds)
  const since = await readSince({ takenAt: report.backup.takenAt, has: (id) => agentIds.has(id) }, config)
  if (json)
    printJson({
      ...documentOf(report.backup),
      restored: true,
      database: name,
      kept: report.kept,
      withheld: report.withheld,
      lost: report.lost,
      since,
    })
  else printLines([...toDo(report, since), ...(report.kept ? [keptLine(report.kept)] : []), outcome(report, name)])
  return 0
}

async function check(file: string, json: boolean): Promise<number> {
  const head = await withProgress(json, 'reading', (looked) => checkBackup(file, looked))
  if (json) printJson({ ...documentOf(head), restored: false })
  else printLine(`${whatOf(head)} is whole: ${countsOf(head)}; nothing was changed`)
  return 0
}

/** @throws KeylimeError `refused`. */
async function ask(name: string, { machines: count }: FoundDatabase, backup: BackupHead): Promise<void> {
  const there = count === null ? 'which cannot be read' : machines(count)
  const answer = await askYes(`Replace the database ${name} (${there}) by ${whatOf(backup)} (${countsOf(backup)})?`)
  if (answer) return
  throw new KeylimeError('refused', 'nothing was changed', answer === null ? { hint: 'add --yes if there is no terminal to ask on' } : {})
}

const documentOf = ({ verifier, takenAt, schema, tables }: BackupHead) => ({
  ...{ verifier, taken_at: new Date(takenAt).toISOString(), schema },
  tables: rowsOf(tables),
})

const keptLine = (kept: string) => `the old database is kept: ${kept}. It has payload keys: remove it when you no longer need it`

const outcome = ({ backup }: RestoreReport, name: string) => `${name} is ${whatOf(backup)}: ${countsOf(backup)}; start the verifier`
