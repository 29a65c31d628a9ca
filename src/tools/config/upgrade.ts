import path from 'node:path'
import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { noteLine, printJson, printLines } from '../../io/terminal/print.ts'
import { type ConfigWord, json, placeOf, rootOption } from './config-word.ts'
import { refuseOutside } from './followed-link.ts'
import { planUpgrade, type Upgrade } from './plan-upgrade.ts'
import { upgradeJson, upgradeLines } from './upgrade-report.ts'
import { writeUpgrade } from './write-upgrade.ts'

interface Arguments {
  files?: string[] | undefined
  only?: ConfiguredRole[] | undefined
  out?: string | undefined
  root?: string | undefined
  defaults?: boolean | undefined
  dryRun?: boolean | undefined
  json?: boolean | undefined
}

/** `keylime config upgrade`. */
export const upgrade: ConfigWord<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Converts upstream’s configuration of any release, from the one keylime.conf of Keylime 6 to 7.14, into the current files, with a comment for each option. Names what has no counterpart. Keeps each file that it replaces as .bkp.\n\nUsage: keylime config upgrade [FILE…] [options]',
      )
      .example('keylime config upgrade --dry-run', 'show what would happen to the files of this machine')
      .example('sudo keylime config upgrade /etc/keylime.conf', 'convert the file of Keylime 6 into /etc/keylime')
      .example('keylime config upgrade --defaults --out conf', 'write commented files with all defaults')
      .positional('files', {
        type: 'string',
        array: true,
        describe: 'Default: the files in /etc/keylime or /usr/etc/keylime, else /etc/keylime.conf',
      })
      .option('out', { type: 'string', requiresArg: true, describe: 'Directory for the files; default: /etc/keylime' })
      .option('only', { choices: CONFIGURED_ROLES, array: true, requiresArg: true, describe: 'Only the file of this role' })
      .option('defaults', { type: 'boolean', describe: 'Read nothing, and write files with all defaults' })
      .option('dry-run', { type: 'boolean', describe: 'Only report' })
      .option('root', rootOption)
      .option('json', json),

  async run(argv) {
    const { roots } = placeOf({ root: argv.root })
    if (argv.defaults && argv.files && argv.files.length > 0)
      throw new KeylimeError('usage', '--defaults reads no file, but one is named', { hint: 'leave one of the two out' })
    const plan = planUpgrade({
      roots,
      files: argv.files ?? [],
      only: argv.only ?? [],
      out: argv.out === undefined ? roots.etc : path.resolve(argv.out),
      always: argv.out !== undefined || argv.defaults === true,
      defaults: argv.defaults === true,
    })
    if (!argv.files?.length) for (const file of plan.inputs) refuseOutside(file, argv.root)
    if (!argv.dryRun) await writeUpgrade(plan)
    if (argv.json) printJson(upgradeJson(plan, argv.dryRun !== true))
    else printLines(upgradeLines(plan, argv.dryRun !== true))
    if (!argv.json && !argv.dryRun) tellNext(plan)
    return 0
  },
}

function tellNext({ roles, inputs }: Upgrade): void {
  if (roles.some(({ isNeeded }) => isNeeded)) noteLine('next: keylime config check')
  for (const file of inputs) if (path.basename(file) === 'keylime.conf') noteLine(`${file} is no longer read: delete it when all is well`)
}
