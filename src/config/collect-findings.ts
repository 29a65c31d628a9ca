import { isKeylimeError } from '../core/errors.ts'
import { problemTexts } from '../core/problems.ts'

/** What `--check-config` found: problems keep a role from serving, warnings do not. */
export interface Findings {
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** Findings that a check adds its own to. */
export interface OpenFindings {
  readonly problems: string[]
  readonly warnings: string[]
}

/**
 * Runs all checks of a configuration, whatever the others say. Each adds what it finds, or throws what the start would.
 * @param known warnings that are there already. @returns one text for each; hints are a part of it.
 */
export async function collectFindings(
  known: readonly string[],
  checks: readonly ((found: OpenFindings) => unknown)[],
): Promise<{ problems: string[]; warnings: string[] }> {
  const found: OpenFindings = { problems: [], warnings: [...known] }
  for (const check of checks) {
    try {
      await check(found)
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      found.problems.push(...problemTexts(error))
    }
  }
  return { problems: [...new Set(found.problems)], warnings: [...new Set(found.warnings)] }
}
