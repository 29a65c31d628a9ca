import { isKeylimeError, KeylimeError } from './errors.ts'

/**
 * Collects what is wrong with several things, so that whoever mends them hears of all at once. What is no KeylimeError is a bug, and passes through.
 */
export class Problems {
  readonly #errors: KeylimeError[] = []

  /** What `work` gives, or undefined when it throws a KeylimeError. */
  take<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      return this.#keep(error)
    }
  }

  /** The same of what comes later. */
  async wait<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      return this.#keep(error)
    }
  }

  /** @throws the KeylimeError that there was; of several one with the code of the first, which lists all. */
  refuse(): void {
    const [first, ...others] = this.#errors
    if (!first) return
    if (others.length === 0) throw first
    const problems = this.#errors.flatMap(problemTexts)
    throw new KeylimeError(first.code, `${problems.length} things cannot be used:\n  ${problems.join('\n  ')}`, {
      hint: 'correct what is named above',
      details: { problems },
    })
  }

  #keep(error: unknown): undefined {
    if (!isKeylimeError(error)) throw error
    this.#errors.push(error)
    return undefined
  }
}

/** What an error says, one text for each problem that it lists; hints are a part of it. */
export function problemTexts({ message, hint, details }: KeylimeError): string[] {
  const listed = details?.['problems']
  if (Array.isArray(listed)) return listed.map(String)
  return [hint ? `${message} (${hint})` : message]
}
