import { KeylimeError } from '../../core/errors.ts'
import { readText } from '../../io/files/read-file.ts'
import { askSecret } from '../../io/terminal/ask-secret.ts'
import type { WantedOption } from './wanted-option.ts'

/** The value of the command line, the first line of a file, or asked for. A secret on a command line would be seen by every user of the machine, and kept in a history. */
export async function readValue(
  { name, option, role }: WantedOption,
  given: string | undefined,
  file: string | undefined,
): Promise<string> {
  if (given !== undefined && file !== undefined)
    throw new KeylimeError('usage', 'the value is given twice', { hint: 'leave --value-file out' })
  if (file !== undefined) return ((await readText(file)).split(/\r?\n/)[0] ?? '').trim()
  const hint = `keylime config set ${role} ${name} --value-file FILE`
  if (option.secret && given) throw new KeylimeError('usage', `${name} is a secret: it does not belong on a command line`, { hint })
  if (given !== undefined) return given.trim()
  if (option.secret) return askSecret(`${name} of the ${role}: `, hint)
  throw new KeylimeError('usage', `which value should ${name} have?`, { hint: option.doc })
}
