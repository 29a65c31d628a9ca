import { KeylimeError } from '../errors.ts'

/** What a parser of command lines knows of its options. */
export interface TypedOptions {
  readonly number: readonly string[]
  readonly boolean: readonly string[]
}

/**
 * Refuses what the parser would take for something else: a text where a number belongs, which becomes none, and `--yes=yes`, which becomes no.
 * @param values of the command line. @throws KeylimeError `usage` that names the option.
 */
export function refuseOddValues(
  values: Readonly<Record<string, unknown>>,
  { number, boolean }: TypedOptions,
  args: readonly string[],
): void {
  for (const name of number)
    if ([values[name]].flat().some((value) => typeof value === 'number' && !Number.isFinite(value)))
      throw new KeylimeError('usage', `--${name} must be a number`)
  for (const arg of args) {
    const [, name = '', value] = /^--?([^=]+)=(.*)$/.exec(arg) ?? []
    if (value !== undefined && boolean.includes(name) && value !== 'true' && value !== 'false')
      throw new KeylimeError('usage', `--${name} takes no value, but was given "${value}"`, {
        hint: `--${name}, or --no-${name} for the opposite`,
      })
  }
}
