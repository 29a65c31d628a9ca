import fs from 'node:fs'
import path from 'node:path'
import type { Findings } from '../../config/collect-findings.ts'
import { DEFAULT_ROOTS, keylimeDirectory, readComponentFiles, withConfigFile } from '../../config/files.ts'
import type { ConfiguredRole } from '../../config/tables.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { problemTexts } from '../../core/problems.ts'
import { noteLine, printJson, printLine } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { type ConfigDeps, type ConfigWord, configFile, json, type PlaceArguments, placeOf, role, rolesOf } from './config-word.ts'

interface Arguments extends PlaceArguments {
  json?: boolean | undefined
}

interface Checked extends Findings {
  readonly role: ConfiguredRole
  readonly usable: boolean
}

/** `keylime config check`: what `--check-config` of each role says, with its exit code. */
export const check: ConfigWord<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Checks the configuration as a start would, without starting anything: unknown options, wrong values, files that cannot be read, certificates that end.\nWithout ROLE, it checks all roles, and the agent only if it is set up on this machine.\nExit codes: 0 it can be used, 2 it cannot.\n\nUsage: keylime config check [ROLE] [options]',
      )
      .example('keylime config check', 'before the services are restarted')
      .example('keylime config check verifier --config new.conf', 'a file that is not installed yet')
      .positional('role', role)
      .option('config', configFile)
      .option('json', json),

  async run(argv, deps) {
    placeOf(argv) // refuses what does not go together
    const env = argv.role ? withConfigFile(process.env, argv.role, argv.config) : process.env
    if (argv.role && !argv.json) return showCheck(argv.role, await deps.checkRole(argv.role, env))
    const all: Checked[] = []
    for (const name of rolesOf(argv)) if (argv.role || isSetUp(name, env)) all.push(await checked(name, env, deps))
    if (argv.json) printJson(argv.role ? all[0] : all)
    else tell(all)
    return all.every(({ usable }) => usable) ? 0 : 2
  },
}

/** An agent needs the verifier's certificate to start at all: on a machine that has nothing of it that is no fault. */
function isSetUp(name: ConfiguredRole, env: NodeJS.ProcessEnv): boolean {
  if (name !== 'agent') return true
  if (Object.keys(env).some((variable) => variable.startsWith('KEYLIME_AGENT_'))) return true
  return readComponentFiles(name, env, DEFAULT_ROOTS).files.length > 0 || fs.existsSync(path.join(keylimeDirectory(env), 'agent_data.json'))
}

async function checked(name: ConfiguredRole, env: NodeJS.ProcessEnv, deps: ConfigDeps): Promise<Checked> {
  const { problems, warnings } = await deps.checkRole(name, env).catch((error: unknown) => {
    if (!isKeylimeError(error)) throw error
    return { problems: problemTexts(error), warnings: [] }
  })
  return { role: name, usable: problems.length === 0, problems, warnings }
}

/** @throws KeylimeError `config_invalid` with the problems of all roles. */
function tell(all: readonly Checked[]): void {
  for (const { role: name, warnings } of all) for (const warning of warnings) noteLine(`warning: ${name}: ${warning}`)
  for (const { role: name, usable } of all) if (usable) printLine(`the configuration of the ${name} can be used`)
  const problems = all.flatMap(({ role: name, problems }) => problems.map((problem) => `${name}: ${problem}`))
  if (problems.length > 0)
    throw new KeylimeError('config_invalid', `the configuration cannot be used:\n  ${problems.join('\n  ')}`, {
      hint: 'correct what is named above, or name the roles that this machine has: `keylime config check ROLE`',
      details: { problems },
    })
}
