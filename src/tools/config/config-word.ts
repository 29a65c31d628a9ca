import path from 'node:path'
import type { Argv } from 'yargs'
import type { Findings } from '../../config/collect-findings.ts'
import { type ConfigRoots, DEFAULT_ROOTS, type Environment, withConfigFile } from '../../config/files.ts'
import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'

/** One word of `keylime config`, with its own options and help. */
export interface ConfigWord<T> {
  /** Usage, examples and the options that `T` has. */
  builder(yargs: Argv): Argv
  /** @returns the exit code. */
  run(argv: T, deps: ConfigDeps): Promise<number>
}

export interface ConfigDeps {
  /** `--check-config` of a role, which knows itself what it needs. */
  checkRole(role: ConfiguredRole, env: NodeJS.ProcessEnv): Promise<Findings>
}

/** Which configuration a command is about. */
export interface PlaceArguments {
  role?: ConfiguredRole | undefined
  config?: string | undefined
  root?: string | undefined
}

export const role = { choices: CONFIGURED_ROLES, describe: 'Which role' } as const
export const json = { type: 'boolean', describe: 'Print JSON, for programs' } as const
export const configFile = { type: 'string', requiresArg: true, describe: 'With ROLE: read this file instead of the standard ones' } as const
export const rootOption = { type: 'string', requiresArg: true, describe: 'Work below this directory, for example in an image' } as const

export interface ConfigPlace {
  readonly env: Environment
  readonly roots: ConfigRoots
}

/** Where the files are. The environment of this shell says nothing about an image. @throws KeylimeError `usage`, `config_invalid` for a file that is not there. */
export function placeOf({ role, config, root }: PlaceArguments): ConfigPlace {
  if (config !== undefined && role === undefined)
    throw new KeylimeError('usage', '--config names the file of one role', { hint: `say which: one of ${CONFIGURED_ROLES.join(', ')}` })
  if (root === undefined) return { env: role ? withConfigFile(process.env, role, config) : process.env, roots: DEFAULT_ROOTS }
  if (config !== undefined) throw new KeylimeError('usage', '--root and --config exclude each other', { hint: 'give the one file' })
  const below = (directory: string) => path.join(path.resolve(root), directory)
  return { env: {}, roots: { etc: below(DEFAULT_ROOTS.etc), usrEtc: below(DEFAULT_ROOTS.usrEtc) } }
}

/** The role that is named, or all of them. */
export const rolesOf = (argv: PlaceArguments): readonly ConfiguredRole[] => (argv.role ? [argv.role] : CONFIGURED_ROLES)
