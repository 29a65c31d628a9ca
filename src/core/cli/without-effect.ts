import { KeylimeError } from '../errors.ts'

export interface CommandWords {
  /** Such as `keylime ca`. */
  readonly program: string
  /** What has an effect with each word, beside what all words have. */
  readonly used: Readonly<Record<string, readonly string[]>>
  /** What every word has. */
  readonly always: readonly string[]
}

/**
 * An option that a word would pass over is a slip: `list -u X` shows all, and whoever wrote it thinks of one. @param given long names of the options that the
 * command line has; names that no word knows are left out. @throws KeylimeError `usage` that names them.
 */
export function refuseWithoutEffect({ program, used, always }: CommandWords, word: string, given: readonly string[]): void {
  const all = Object.values(used).flat()
  const idle = given.filter((name) => all.includes(name) && !always.includes(name) && !used[word]?.includes(name))
  if (idle.length === 0) return
  const elsewhere = Object.entries(used).flatMap(([other, options]) => (options.includes(idle[0]!) ? [other] : []))
  throw new KeylimeError('usage', `\`${program} ${word}\` does not take ${idle.map((name) => `--${name}`).join(' and ')}`, {
    hint: `leave it out; --${idle[0]} belongs to: ${elsewhere.join(', ')}`,
  })
}
