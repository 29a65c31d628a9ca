/** Options of commands about the database of a role, as yargs takes them: alike for registrar and verifier. */

/** Of what a command prints. */
export const JSON_OPTION = { type: 'boolean', describe: 'Print one JSON object, for programs' } as const

/** Of `migrate`. */
export const MIGRATE_OPTIONS = {
  from: { type: 'string', demandOption: true, requiresArg: true, describe: 'Database that is used now, as in database_url' },
  to: { type: 'string', demandOption: true, requiresArg: true, describe: 'Database to copy into; it must be empty' },
  'dry-run': { type: 'boolean', describe: 'Only say what would be copied' },
  json: JSON_OPTION,
} as const

/** What the options of `migrate` give. */
export interface MigrateArguments {
  from: string
  to: string
  dryRun?: boolean | undefined
  json?: boolean | undefined
  config?: string | undefined
}

/** What a command about one file gives: `backup` and `restore`. */
export interface FileArguments {
  file: string
  json?: boolean | undefined
  config?: string | undefined
}

/** Hides the options of the role that only its start obeys. */
export const withoutStartOptions = <T extends { hide(name: string): T }>(cli: T): T =>
  ['check-config', 'show-config', 'verbose'].reduce((shown, name) => shown.hide(name), cli)
