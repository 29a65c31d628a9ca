import { KeylimeError } from '../../core/errors.ts'
import { noteLine, printLine } from './print.ts'

/**
 * Shows what `--check-config` found. @param findings problems keep the start from serving, warnings do not. @returns the exit code.
 * @throws KeylimeError `config_invalid` with all problems, if there are any.
 */
export function showCheck(role: string, { problems, warnings }: { problems: readonly string[]; warnings: readonly string[] }): number {
  for (const warning of warnings) noteLine(`warning: ${warning}`)
  if (problems.length > 0)
    throw new KeylimeError('config_invalid', `the configuration of the ${role} cannot be used:\n  ${problems.join('\n  ')}`, {
      hint: 'correct what is named above; nothing was started',
      details: { problems },
    })
  printLine(`the configuration of the ${role} can be used`)
  return 0
}
