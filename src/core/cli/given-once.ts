import { KeylimeError } from '../errors.ts'

/** What a parser of command lines knows of its options. */
export interface DeclaredOptions {
  /** Names of those that take several values. */
  readonly array: readonly string[]
  readonly alias: Readonly<Record<string, readonly string[]>>
}

/**
 * Refuses a second value of every option that takes one: it would silently decide which of the two counts. @param values of the command line, by all names of
 * the options. @throws KeylimeError `usage` that names the option.
 */
export function refuseSecondValues(values: Readonly<Record<string, unknown>>, { array, alias }: DeclaredOptions): void {
  const several = new Set(array.flatMap((name) => [name, ...(alias[name] ?? [])]).flatMap((name) => [name, camelCase(name)]))
  const twice = Object.keys(values).filter((name) => name !== '_' && name !== '--' && Array.isArray(values[name]) && !several.has(name))
  if (twice.length === 0) return
  const name = twice.reduce((longest, other) => (other.length > longest.length ? other : longest))
  throw new KeylimeError('usage', `--${name} was given ${(values[name] as unknown[]).length} times, but takes only one value`, {
    hint: 'give it once',
  })
}

const camelCase = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
