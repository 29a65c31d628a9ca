import { RE2JS } from 're2js'
import { KeylimeError } from '../errors.ts'
import { isUncertain, regexDefect, translatePythonRegex } from '../ima/python-regex.ts'

/** What GRUB writes before the command line that it hands to the kernel. */
export const COMMAND_LINE_PREFIX = 'kernel_cmdline: '

const MAX_LENGTH = 16_384
const GLOBAL_FLAGS = /(?<!\\)\(\?[a-zA-Z]+\)/
/** The characters that Python's `re.escape` escapes since 3.7. */
const SPECIAL = /[()[\]{}?*+\-|^$\\.&~# \t\n\r\v\f]/g

/** The expression that matches this text alone, as Python's `re.escape` writes it. */
export const escapePythonRegex = (text: string): string => text.replace(SPECIAL, '\\$&')

/**
 * Whether a text of the boot log is the command line that `expression` describes: upstream puts the prefix before the expression and matches the whole, so of
 * alternatives only the first has the prefix. In time linear in the text. @throws KeylimeError `invalid_request` beginning with `path`.
 */
export function compileCommandLine(expression: string, path: string): (text: string) => boolean {
  if (expression.length > MAX_LENGTH) throw new KeylimeError('invalid_request', `${path}: is longer than ${MAX_LENGTH} characters`)
  if (GLOBAL_FLAGS.test(expression))
    throw new KeylimeError('invalid_request', `${path}: flags such as (?i) must be at the start, but the prefix of the log is there`, {
      hint: 'write (?i:…) around what they are for',
    })
  try {
    const compiled = RE2JS.compile(translatePythonRegex(COMMAND_LINE_PREFIX + expression))
    return (text) => text.length <= MAX_LENGTH && !isUncertain(expression, text) && compiled.matches(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${path}: ${JSON.stringify(expression.slice(0, 80))}: ${regexDefect(expression, cause)}`, {
      cause,
    })
  }
}
