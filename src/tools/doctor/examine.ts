import fs from 'node:fs'
import path from 'node:path'
import type { Findings } from '../../config/collect-findings.ts'
import { DEFAULT_ROOTS, type Environment, keylimeDirectory, readComponentFiles } from '../../config/files.ts'
import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import { BLOCKING_CHECKS, CHECKS } from './checks-of-role.ts'
import type { Finding } from './finding.ts'
import { runChecks } from './run-checks.ts'
import { hostsRegistrar, whereaboutsOf } from './whereabouts.ts'

export interface Examination {
  readonly env: Environment
  /** Milliseconds for each check. */
  readonly limitMs: number
  /** Prefix of /proc, /sys and /dev; empty on a running machine. */
  readonly root: string
  now(): number
  checkConfig(role: ConfiguredRole): Promise<Findings>
}

export interface Examined {
  readonly role: ConfiguredRole
  readonly findings: readonly Finding[]
}

/** Runs all checks of a role. Nothing is changed. */
export async function examine(role: ConfiguredRole, { env, limitMs, root, now, checkConfig }: Examination): Promise<Examined> {
  const subject = { role, env, root, now, where: whereaboutsOf(role, env), checkConfig: () => checkConfig(role) }
  const found = await runChecks(CHECKS[role], subject, limitMs)
  return { role, findings: [...found, ...(await runChecks(BLOCKING_CHECKS[role], subject, limitMs))] }
}

/** What a role leaves in KEYLIME_DIR when it has run. */
const STATE: Readonly<Record<ConfiguredRole, string>> = {
  agent: 'agent_data.json',
  verifier: 'cv_data.sqlite',
  registrar: 'reg_data.sqlite',
  tenant: 'cv_ca/client-cert.crt',
  ca: 'ca/cacert.crt',
}

/** Roles that this machine has something of: a file of configuration, a variable of the environment, or state. A registrar inside of the verifier is looked at with it. */
export function rolesHere(env: Environment): ConfiguredRole[] {
  const roles = CONFIGURED_ROLES.filter((role) => isHere(role, env))
  return roles.includes('verifier') && hostsRegistrar(env) ? roles.filter((role) => role !== 'registrar') : roles
}

const isHere = (role: ConfiguredRole, env: Environment): boolean =>
  Object.keys(env).some((name) => name.startsWith(`KEYLIME_${role.toUpperCase()}_`)) ||
  readComponentFiles(role, env, DEFAULT_ROOTS).files.length > 0 ||
  fs.existsSync(path.join(keylimeDirectory(env), STATE[role]))
