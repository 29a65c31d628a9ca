import { isKeylimeError } from '../core/errors.ts'

/** Runs all checks of a configuration, whatever the others say. @returns what is wrong, one text for each; hints are a part of it. */
export async function collectProblems(checks: readonly (() => unknown)[]): Promise<string[]> {
  const problems: string[] = []
  for (const check of checks) {
    try {
      await check()
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      problems.push(error.hint ? `${error.message} (${error.hint})` : error.message)
    }
  }
  return [...new Set(problems)]
}
