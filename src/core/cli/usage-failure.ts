import { KeylimeError } from '../errors.ts'
import { nearestOption } from './nearest-option.ts'
import { nearestWord } from './nearest-word.ts'

/** What the command line was, and what there is. */
export interface UsageKnown {
  readonly args: readonly string[]
  /** Such as `--json` and `-t`. */
  readonly flags: readonly string[]
  /** Words that may stand where the unknown one does. */
  readonly words: readonly string[]
  /** Such as `keylime policy lint`. */
  readonly path: readonly string[]
}

/** What the parser of command lines says, in our words, with what was probably meant. */
export function usageFailure(message: string, known: UsageKnown): KeylimeError {
  const { text, meant, notThere = [] } = inWords(message, known)
  const help = `"${known.path.filter((word) => !notThere.includes(word)).join(' ')} --help" shows what there is`
  return new KeylimeError('usage', text, { hint: meant ? `${meant} ${help}` : help })
}

interface Words {
  readonly text: string
  readonly meant?: string | undefined
  readonly notThere?: readonly string[]
}

function inWords(message: string, known: UsageKnown): Words {
  const [, kind = '', rest = ''] =
    /^(Unknown (?:argument|command)s?|Not enough arguments following|Invalid values): *([\s\S]*)$/.exec(message) ?? []
  if (kind.startsWith('Unknown')) return unknown(rest.split(', '), known)
  if (kind.startsWith('Not enough')) return { text: `${asTyped(rest, known.args) ?? flagOf(rest)} needs a value` }
  if (kind === 'Invalid values') return invalid(rest)
  if (message.startsWith('Not enough non-option')) return { text: 'something is missing after the command' }
  return { text: message === '' ? 'the command line cannot be read' : message }
}

function unknown(names: readonly string[], { args, flags, words }: UsageKnown): Words {
  const options = names.map((name) => asTyped(name, args)).filter((typed) => typed !== undefined)
  if (options.length > 0)
    return {
      text: `there is no option ${options.join(', ')}`,
      meant: options.map((typed) => nearestOption(typed, flags)).find((near) => near !== undefined),
    }
  const near = names.map((name) => nearestWord(name, words)).find((word) => word !== undefined)
  const list = names.map((name) => `"${name}"`).join(', ')
  const meant = near ? `did you mean ${near}?` : words.length > 0 ? `one of: ${words.join(', ')};` : undefined
  const text = words.length > 0 ? `there is no word ${list} here` : `${list} ${names.length === 1 ? 'is' : 'are'} too much`
  return { text, meant, notThere: names }
}

/** `Argument: role, Given: "x", Choices: "operator", "server"` */
function invalid(rest: string): Words {
  const [, name = '', given = '', choices = ''] = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(rest) ?? []
  const words = choices.split(', ').map(unquoted)
  const near = nearestWord(unquoted(given), words)
  return {
    text: `${name} ${given}: it is one of ${words.join(', ')}`,
    meant: near && `did you mean ${near}?`,
  }
}

const unquoted = (text: string) => text.replace(/^"|"$/g, '')
const flagOf = (name: string) => (name.length === 1 ? `-${name}` : `--${name}`)

/** The option as it stands on the command line, without its value; parsers give other spellings of the same name too. */
function asTyped(name: string, args: readonly string[]): string | undefined {
  return args.map((arg) => arg.split('=')[0]!).find((arg) => arg.startsWith('-') && arg.replace(/^--?/, '') === name)
}
