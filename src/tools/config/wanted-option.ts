import { type Option, shownText } from '../../config/option.ts'
import { type ConfiguredRole, TABLES } from '../../config/tables.ts'
import { nearestWord } from '../../core/cli/nearest-word.ts'
import { KeylimeError } from '../../core/errors.ts'

export interface WantedOption {
  readonly role: ConfiguredRole
  readonly name: string
  readonly option: Option<unknown>
}

/** @param given its name, with `section.` before it if somebody likes. @throws KeylimeError `usage` with what was probably meant. */
export function findOption(role: ConfiguredRole, given: string): WantedOption {
  const table = TABLES[role]
  const word = given.toLowerCase()
  for (const [name, option] of Object.entries(table))
    if ([name, option.formerly, `${option.section ?? role}.${name}`].includes(word)) return { role, name, option }
  const names = Object.keys(table)
  const near = nearestWord(word.replaceAll('-', '_'), names) ?? names.find((name) => word.length > 3 && name.includes(word))
  throw new KeylimeError('usage', `"${given}" is not an option of the ${role}; nothing was changed`, {
    hint: near ? `did you mean ${near}?` : `\`keylime config show ${role}\` lists them`,
  })
}

/** @throws KeylimeError `usage` that says what the value must look like. */
export function parseValue({ role, name, option }: WantedOption, text: string): unknown {
  try {
    return option.parse(text)
  } catch (error) {
    const shown = option.secret ? '[secret]' : JSON.stringify(shownText(option, text))
    throw new KeylimeError('usage', `${name} = ${shown} of the ${role}: ${(error as Error).message}; nothing was changed`, {
      hint: option.doc,
    })
  }
}
