import { configJson, type Effective, effectiveSettings, heading, originText, settingLines } from '../../config/effective.ts'
import { TABLES } from '../../config/tables.ts'
import { printJson, printLines } from '../../io/terminal/print.ts'
import { type ConfigWord, configFile, json, type PlaceArguments, placeOf, role, rolesOf, rootOption } from './config-word.ts'

interface Arguments extends PlaceArguments {
  json?: boolean | undefined
}

/** `keylime config diff`: what is not as it comes. That something differs is no failure. */
export const diff: ConfigWord<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Shows what differs from the defaults, and where it is set.\n\nUsage: keylime config diff [ROLE] [options]')
      .example('keylime config diff', 'everything that was changed on this machine')
      .example('keylime config diff verifier --json', 'the same for one role, for a script')
      .positional('role', role)
      .option('config', configFile)
      .option('root', rootOption)
      .option('json', json),

  async run(argv) {
    const place = placeOf(argv)
    const all = rolesOf(argv).map((name) => differing(effectiveSettings(name, TABLES[name], place)))
    if (argv.json) printJson(argv.role === undefined ? all.map(configJson) : configJson(all[0]!))
    else printLines(diffLines(all))
    return 0
  },
}

const differing = (effective: Effective): Effective => ({
  ...effective,
  settings: effective.settings.filter(({ differs }) => differs),
})

function diffLines(all: readonly Effective[]): string[] {
  const changed = all.filter(({ settings }) => settings.length > 0)
  if (changed.length === 0) return ['nothing differs from the defaults: `keylime config set ROLE OPTION VALUE` changes an option']
  return changed.flatMap((effective, i) => [
    ...(i > 0 ? [''] : []),
    heading(effective),
    ...settingLines(effective.settings, (setting) => `default: ${setting.default || '(empty)'}; ${originText(setting.origin)}`),
  ])
}
