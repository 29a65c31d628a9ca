import path from 'node:path'
import { type Changed, changeFile, fileText } from '../../config/edit-file.ts'
import { holdsSecret, isValue, shownText } from '../../config/option.ts'
import { placeOfChange } from '../../config/place-of-change.ts'
import { noteLine, printJson, printLine } from '../../io/terminal/print.ts'
import { CHANGE_OPTIONS, type ChangeArguments, type ConfigWord, changedOption, placeOf } from './config-word.ts'
import { type FileToChange, followedDirectory, refuseOutside } from './followed-link.ts'
import { readValue } from './read-value.ts'
import { restartAdvice } from './restart-advice.ts'
import { findOption, parseValue, type WantedOption } from './wanted-option.ts'
import { ofFile, overriddenBy, readToChange, writeChanged } from './write-change.ts'

interface Arguments extends ChangeArguments {
  value?: string | undefined
  valueFile?: string | undefined
  dropIn?: boolean | undefined
}

interface Value {
  readonly text: string
  readonly parsed: unknown
}

/** `keylime config set`. */
export const set: ConfigWord<Arguments> = {
  builder: (yargs) =>
    changedOption(yargs)
      .usage(
        'Changes one option, and says what you have to restart. Keeps comments and all other lines of the file.\n\nUsage: keylime config set ROLE OPTION VALUE [options]',
      )
      .example('sudo keylime config set verifier quote_interval 5', 'change its line in verifier.conf, or add one')
      .example('sudo keylime config set agent registrar_ip 10.0.0.1 --drop-in', 'write agent.conf.d/90-local.conf')
      .example('sudo keylime config set agent tpm_ownerpassword', 'ask for the secret; --value-file reads it')
      .positional('value', { type: 'string', describe: 'Value, as in the file' })
      .option('value-file', {
        type: 'string',
        requiresArg: true,
        describe: 'Take the value from the first line of this file; /dev/stdin for a pipe',
      })
      .option('drop-in', { type: 'boolean', describe: 'Write into ROLE.conf.d/90-local.conf instead of ROLE.conf' })
      .options(CHANGE_OPTIONS),

  async run(argv) {
    const place = placeOf(argv)
    const wanted = findOption(argv.role, argv.option)
    const text = await readValue(wanted, argv.value, argv.valueFile)
    const parsed = parseValue(wanted, text)
    const { file, isNew } = placeOfChange(argv.role, wanted.name, wanted.option, { ...place, dropIn: argv.dropIn === true })
    const found = isNew ? newFile(file, holdsSecret(wanted.option, text)) : readToChange(file)
    const { text: before } = found
    refuseOutside(found.place, argv.root)
    const { text: after, line } = changed(before, file, wanted, { text, parsed })
    const restart = after === before ? [] : restartAdvice(argv.role)
    if (after !== before) await writeText({ ...found, text: after }, holdsSecret(wanted.option, text), isNew)
    const overridden = overriddenBy(wanted, file, place)
    const shown = shownText(wanted.option, text)
    if (argv.json)
      printJson({ role: argv.role, option: wanted.name, value: shown, file, line, changed: after !== before, overridden, restart })
    else printLine(`${file}:${line}: ${wanted.name} = ${shown}${after === before ? ' (as before)' : ''}`)
    if (overridden) noteLine(`warning: ${overridden} sets it too, and wins`)
    if (wanted.option.unused) noteLine(`warning: ${wanted.name} has no effect here. ${wanted.option.doc}`)
    if (!argv.json) for (const advice of restart) noteLine(advice)
    return 0
  },
}

function changed(before: string, file: string, { role: name, name: option, option: known }: WantedOption, value: Value): Changed {
  const { section = name, formerly } = known
  const text = fileText(name, known, value.text, value.parsed)
  const isMeant = (read: string) => isValue(known, read, value.parsed)
  return ofFile(file, () => changeFile(before, name === 'agent' ? 'toml' : 'python', { section, option, formerly, text, isMeant }))
}

const newFile = (file: string, isSecret: boolean): FileToChange => ({
  place: path.join(followedDirectory(path.dirname(file)), path.basename(file)),
  text: '',
  mode: isSecret ? 0o600 : 0o644,
})

/** A file with a secret is not for everybody. */
async function writeText(file: FileToChange, isSecret: boolean, isNew: boolean): Promise<void> {
  await writeChanged({ ...file, mode: file.mode & (isSecret ? 0o770 : 0o777) })
  if (isSecret && isNew) noteLine(`${file.place} can be read only by its owner: give it to the user that the role runs as`)
}
