import { type Removed, removeFromFile } from '../../config/edit-file.ts'
import { filesThatSay } from '../../config/place-of-change.ts'
import { noteLine, printJson, printLine } from '../../io/terminal/print.ts'
import { CHANGE_OPTIONS, type ChangeArguments, type ConfigWord, changedOption, placeOf } from './config-word.ts'
import { refuseOutside } from './followed-link.ts'
import { restartAdvice } from './restart-advice.ts'
import { findOption, type WantedOption } from './wanted-option.ts'
import { ofFile, overriddenBy, readToChange, writeChanged } from './write-change.ts'

/** `keylime config unset`. */
export const unset: ConfigWord<ChangeArguments> = {
  builder: (yargs) =>
    changedOption(yargs)
      .usage(
        'Removes one option from the files, so that its default counts again, and says what you have to restart. Keeps comments and all other lines.\n\nUsage: keylime config unset ROLE OPTION [options]',
      )
      .example('sudo keylime config unset verifier quote_interval', 'remove its line, in verifier.conf or a drop-in')
      .options(CHANGE_OPTIONS),

  async run(argv) {
    const place = placeOf(argv)
    const wanted = findOption(argv.role, argv.option)
    const changes = filesThatSay(wanted.role, wanted.name, wanted.option, place)
      .map((file) => {
        const found = readToChange(file)
        refuseOutside(found.place, argv.root)
        return { file, found, removed: withoutOption(found.text, file, wanted) }
      })
      .filter(({ removed }) => removed.lines.length > 0) // [DEFAULT] of a file is of others, too
    for (const { found, removed } of changes) await writeChanged({ ...found, text: removed.text })
    const places = changes.flatMap(({ file, removed }) => removed.lines.map((line) => ({ file, line })))
    const overridden = overriddenBy(wanted, undefined, place)
    const restart = places.length > 0 ? restartAdvice(argv.role) : []
    if (argv.json) printJson({ role: argv.role, option: wanted.name, removed: places, overridden, restart })
    else for (const line of told(wanted, places)) printLine(line)
    if (overridden) noteLine(`warning: ${overridden} still sets ${wanted.name}`)
    if (!argv.json) for (const advice of restart) noteLine(advice)
    return 0
  },
}

const told = ({ name }: WantedOption, places: readonly { file: string; line: number }[]): string[] =>
  places.length > 0 ? places.map(({ file, line }) => `${file}:${line}: removed ${name}`) : [`${name} is not set in a file (as before)`]

function withoutOption(text: string, file: string, { role: name, name: option, option: known }: WantedOption): Removed {
  const what = { section: known.section ?? name, option, formerly: known.formerly }
  return ofFile(file, () => removeFromFile(text, name === 'agent' ? 'toml' : 'python', what))
}
