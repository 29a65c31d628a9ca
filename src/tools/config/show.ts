import { configJson, effectiveSettings, shownConfig } from '../../config/effective.ts'
import { TABLES } from '../../config/tables.ts'
import { printJson, printLines } from '../../io/terminal/print.ts'
import { type ConfigWord, configFile, json, type PlaceArguments, placeOf, role, rolesOf, rootOption } from './config-word.ts'

interface Arguments extends PlaceArguments {
  origin?: boolean | undefined
  json?: boolean | undefined
}

/** `keylime config show`. */
export const show: ConfigWord<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Shows the value of each option, from defaults, files and environment. Secrets are hidden.\n\nUsage: keylime config show [ROLE] [options]',
      )
      .example('keylime config show verifier --origin', 'show also the file and line that each value comes from')
      .example('keylime config show --json', 'show all roles, for a script')
      .positional('role', role)
      .option('origin', { type: 'boolean', describe: 'Where each value comes from: default, file with line, environment variable' })
      .option('config', configFile)
      .option('root', rootOption)
      .option('json', json),

  async run(argv) {
    const place = placeOf(argv)
    const all = rolesOf(argv).map((name) => effectiveSettings(name, TABLES[name], place))
    if (argv.json && argv.role === undefined) printJson(all.map(configJson))
    else
      for (const [i, effective] of all.entries())
        printLines([...(i > 0 ? [''] : []), ...shownConfig(effective, { origin: argv.origin === true, json: argv.json === true })])
    return 0
  },
}
