import type { Argv } from 'yargs'
import type { Findings } from '../../config/collect-findings.ts'
import { withConfigFile } from '../../config/files.ts'
import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { hinted } from '../../core/system-failure.ts'
import { systemClock } from '../../io/clock.ts'
import { writeFileAtomic } from '../../io/files/atomic-file.ts'
import { noteLine, printJson, printLines } from '../../io/terminal/print.ts'
import { type Examined, examine, rolesHere } from './examine.ts'
import { exitCodeOfFindings } from './finding.ts'
import { findingLines, summaryLine } from './finding-lines.ts'
import { maskFindings, secretsOf } from './mask-secrets.ts'
import { packReport } from './pack-report.ts'

interface Arguments {
  role?: ConfiguredRole | undefined
  config?: string | undefined
  json?: boolean | undefined
  report?: string | undefined
  timeout?: number | undefined
}

interface Deps {
  /** `--check-config` of a role, which knows itself what it needs. */
  checkRole(role: ConfiguredRole, env: NodeJS.ProcessEnv): Promise<Findings>
}

/** `keylime doctor`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Finds out why a role does not work. It looks at configuration, certificates, service, ports, registrar and verifier, databases, disk, TPM, measurements. Changes nothing.\nEach finding says what it means and how to fix it. Without ROLE, it checks every role that is set up on this machine.\nExit codes: 0 no error, 2 the configuration, 4 registrar or verifier, 1 anything else or several of them.\n\nUsage: keylime doctor [ROLE] [options]',
      )
      .example('sudo keylime doctor', 'check all roles of this machine')
      .example('sudo keylime doctor agent --report report.zip', 'also write a file for a bug report, without secrets')
      .example('keylime doctor tenant --json', 'for a script')
      .positional('role', { choices: CONFIGURED_ROLES, describe: 'Which role' })
      .option('config', { type: 'string', requiresArg: true, describe: 'With ROLE: read this file instead of the standard ones' })
      .option('timeout', { type: 'number', requiresArg: true, default: 10, describe: 'Seconds for each check' })
      .option('report', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a zip with findings, versions and configuration, without secrets',
      })
      .option('json', { type: 'boolean', describe: 'Print JSON, for programs' }) as unknown as Argv<Arguments>,

  async run(argv: Arguments, { checkRole }: Deps): Promise<number> {
    const env = environmentOf(argv)
    const seconds = argv.timeout ?? 10
    if (!(seconds > 0 && seconds <= 600)) throw new KeylimeError('usage', '--timeout must be from 1 to 600 seconds')
    const found: Examined[] = []
    for (const role of argv.role ? [argv.role] : requireRoles(env))
      found.push(
        await examine(role, {
          env,
          limitMs: seconds * 1000,
          root: '',
          now: () => systemClock.now(),
          checkConfig: (name) => checkRole(name, env),
        }),
      )
    const secrets = secretsOf(env)
    const examined = maskFindings(found, secrets)
    const findings = examined.flatMap((one) => one.findings)
    if (argv.json) printJson(argv.role ? examined[0] : examined)
    else printLines([...examined.flatMap(findingLines), summaryLine(findings)])
    if (argv.report !== undefined) await writeReport(argv.report, await packReport(examined, env, { now: systemClock.now(), secrets }))
    return exitCodeOfFindings(findings)
  },
}

/** @throws KeylimeError `usage`, `config_invalid` for a file that is not there. */
function environmentOf({ role, config }: Arguments): NodeJS.ProcessEnv {
  if (role) return withConfigFile(process.env, role, config)
  if (config === undefined) return process.env
  throw new KeylimeError('usage', '--config names the file of one role', { hint: `say which: one of ${CONFIGURED_ROLES.join(', ')}` })
}

function requireRoles(env: NodeJS.ProcessEnv): ConfiguredRole[] {
  const roles = rolesHere(env)
  if (roles.length > 0) return roles
  throw new KeylimeError('not_found', 'this machine has no role: there is no configuration in /etc/keylime, and no state', {
    hint: 'name the role that it is to have: `keylime doctor agent`',
  })
}

async function writeReport(file: string, zip: Buffer): Promise<void> {
  await writeFileAtomic(file, zip, 0o600).catch((error) => {
    throw hinted(error, 'name a file in a directory where you may write')
  })
  noteLine(`${file}: read it before you send it; it contains names and addresses of machines`)
}
