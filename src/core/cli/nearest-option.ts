import { nearestWord } from './nearest-word.ts'

const MANY = 4

/**
 * The options that were probably meant by one that does not exist: those that begin so, else the one that is a slip away. @param typed as on the command line,
 * such as `--jsn` or `--jsn=x`. @param flags that exist, such as `--json` and `-t`. @returns a question, or undefined when none is near.
 */
export function nearestOption(typed: string, flags: readonly string[]): string | undefined {
  const word = typed.split('=')[0]!
  if (!word.startsWith('-') || word === '-' || word === '--') return undefined
  const long = flags.filter((flag) => flag.startsWith('--'))
  const name = word.replace(/^--?/, '').replaceAll('_', '-')
  const begin = name.length < 2 ? [] : long.filter((flag) => flag.slice(2).replaceAll('_', '-').startsWith(name))
  if (begin.length > 0 && begin.length <= MANY) return `did you mean ${begin.join(' or ')}?`
  const near = nearestWord(
    name,
    long.map((flag) => flag.slice(2)),
  )
  return near === undefined ? undefined : `did you mean --${near}?`
}
