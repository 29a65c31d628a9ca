import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { Argv } from 'yargs'
import { withConfigFile } from '../../../config/files.ts'
import { type FileArguments, JSON_OPTION, withoutStartOptions } from '../../../core/cli/database-options.ts'
import { systemClock } from '../../../io/clock.ts'
import { backupVerifier } from '../../../io/db/backup-verifier.ts'
import { rowsOf } from '../../../io/db/copy-tables.ts'
import { databasePlace, nameOfPlace } from '../../../io/db/open-database.ts'
import { VERSION } from '../../../io/service/version.ts'
import { printJson, printLine } from '../../../io/terminal/print.ts'
import { byteSize } from '../../../io/terminal/terminal.ts'
import type { Choose } from '../audit/audit-words.ts'
import { loadVerifierSettings } from '../verifier-settings.ts'
import { withProgress } from './progress.ts'
import { countsOf } from './restore-lines.ts'
import { addRestoreWord } from './restore-words.ts'

interface BackupArguments extends FileArguments {
  replace?: boolean | undefined
}

/** `keylime verifier backup` and `restore`. */
export const addBackupWords = (yargs: Argv, choose: Choose): Argv =>
  addRestoreWord(
    yargs.command('backup <file>', 'Write what the verifier has stored into a file, while it runs', options as never, (argv) =>
      choose(() => backup(argv as never)),
    ),
    choose,
  )

const options = (yargs: Argv): Argv<BackupArguments> =>
  withoutStartOptions(yargs)
    .usage(
      'Writes everything that the verifier has stored (machines, policies, revocations, history) into one file, as it is at one moment; the verifier may run. Works with SQLite and PostgreSQL, and "keylime verifier restore" puts it back into either.\nThe file has no payload keys and no payloads: a restored verifier may not release them, so they are left out. It has the revocation keys of certificate packages: keep it as you keep the database. Its mode is 0600, and every table in it has a checksum.\nThe authority (cv_ca), the registrar and the configuration are not in it.\nExit codes: 0 written, 1 something in the way, 4 a server that cannot be reached, 6 no database.\n\nUsage: keylime verifier backup FILE [options]',
    )
    .example('keylime verifier backup /var/backups/keylime/$(date +%F).backup', 'one file a day')
    .example('keylime verifier backup --replace verifier.backup', 'only the last one; it stays until the new one is complete')
    .positional('file', { type: 'string', demandOption: true, describe: 'File to write' })
    .option('replace', { type: 'boolean', describe: 'Replace a backup of that name' })
    .option('json', JSON_OPTION) as unknown as Argv<BackupArguments>

async function backup({ file, replace = false, json = false, config }: BackupArguments): Promise<number> {
  const { values, keylimeDir } = loadVerifierSettings(withConfigFile(process.env, 'verifier', config))
  const place = databasePlace(values, path.join(keylimeDir, 'cv_data.sqlite'))
  const facts = { verifier: values.uuid, program: VERSION, now: () => systemClock.now(), replace }
  const head = await withProgress(json, 'copying', (copied) => backupVerifier(place, file, { ...facts, copied }))
  const { size } = await stat(file)
  const takenAt = new Date(head.takenAt).toISOString()
  if (json)
    printJson({
      file,
      of: nameOfPlace(place),
      verifier: head.verifier,
      taken_at: takenAt,
      schema: head.schema,
      bytes: size,
      tables: rowsOf(head.tables),
    })
  else printLine(`${file} has ${countsOf(head)} of ${nameOfPlace(place)} as of ${takenAt} (${byteSize(size)})`)
  return 0
}
