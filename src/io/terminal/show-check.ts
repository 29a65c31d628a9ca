import { KeylimeError } from '../../core/errors.ts'

/**
 * Shows what `--check-config` found. @param findings problems keep the start from serving, warnings do not. @returns the exit code.
 * @throws KeylimeError `config_invalid` with all problems, if there are any.
 */
export function showCheck(role: string, { problems, warnings }: { problems: readonly string[]; warnings: readonly string[] }): number {
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
  if (problems.length > 0)
    throw new KeylimeError('config_invalid', `the configuration of the ${role} cannot be used:\n  ${problems.join('\n  ')}`, {
      hint: 'correct what is named above; nothing was started',
      details: { problems },
    })
  process.stdout.write(`the configuration of the ${role} can be used\n`)
  return 0
}
