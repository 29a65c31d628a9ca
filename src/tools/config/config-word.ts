import path from 'node:path'
import type { Argv } from 'yargs'
import type { Findings } from '../../config/collect-findings.ts'
import { type ConfigRoots, DEFAULT_ROOTS, type Environment, withConfigFile } from '../../config/files.ts'
import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { refuseOutside } from './followed-link.ts'

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

/** Which option of a role a command changes. */
export interface ChangeArguments extends PlaceArguments {
  role: ConfiguredRole
  option: string
  json?: boolean | undefined
}

export const role = { choices: CONFIGURED_ROLES, describe: 'Which role' } as const
export const json = { type: 'boolean', describe: 'Print JSON, for programs' } as const
export const configFile = { type: 'string', requiresArg: true, describe: 'With ROLE: read this file instead of the standard ones' } as const
export const rootOption = { type: 'string', requiresArg: true, describe: 'Work below this directory, for example in an image' } as const

/** The options of a command that changes files, beside ROLE and OPTION. */
export const CHANGE_OPTIONS = { config: configFile, root: rootOption, json } as const

/** ROLE and OPTION. */
export const changedOption = (yargs: Argv): Argv =>
  yargs
    .positional('role', { ...role, demandOption: true })
    .positional('option', { type: 'string', demandOption: true, describe: 'Name of the option, as in the file' })

export interface ConfigPlace {
  readonly env: Environment
  readonly roots: ConfigRoots
}

/** Where the files are. The environment of this shell says nothing about an image. @throws KeylimeError `usage`, `config_invalid` for a file that is not there, `refused` for links that lead out of the image. */
export function placeOf({ role, config, root }: PlaceArguments): ConfigPlace {
  if (config !== undefined && role === undefined)
    throw new KeylimeError('usage', '--config names the file of one role', { hint: `say which: one of ${CONFIGURED_ROLES.join(', ')}` })
  if (root === undefined) return { env: role ? withConfigFile(process.env, role, config) : process.env, roots: DEFAULT_ROOTS }
  if (config !== undefined) throw new KeylimeError('usage', '--root and --config exclude each other', { hint: 'give the one file' })
  const below = (directory: string) => path.join(path.resolve(root), directory)
  const roots = { etc: below(DEFAULT_ROOTS.etc), usrEtc: below(DEFAULT_ROOTS.usrEtc) }
  for (const directory of Object.values(roots)) refuseOutside(directory, root)
  return { env: {}, roots }
}

/** The role that is named, or all of them. */
export const rolesOf = (argv: PlaceArguments): readonly ConfiguredRole[] => (argv.role ? [argv.role] : CONFIGURED_ROLES)
