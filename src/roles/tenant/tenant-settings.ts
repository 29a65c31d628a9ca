import { caOptions } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig, refuseProblems } from '../../config/load.ts'
import type { Values } from '../../config/option.ts'
import { tenantOptions } from '../../config/tenant.ts'

/** The configuration of one command, read once. */
export interface TenantSettings {
  readonly config: Values<typeof tenantOptions>
  readonly caConfig: Values<typeof caOptions>
  readonly keylimeDir: string
  /** For the programs that a command starts. */
  readonly env: Environment
  readonly warnings: readonly string[]
  /** Whether somebody set an option of tenant.conf: the rest are defaults. */
  isConfigured(option: keyof typeof tenantOptions): boolean
}

/** Reads tenant.conf and ca.conf. @throws KeylimeError `config_invalid` with all values that cannot be used. */
export function loadTenantSettings(env: Environment): TenantSettings {
  const { settings, problems } = readTenantSettings(env)
  refuseProblems('tenant', problems)
  return settings
}

/** The same for a check: values that cannot be used count as their defaults, so that the rest can be looked at too. */
export function readTenantSettings(env: Environment): { settings: TenantSettings; problems: string[] } {
  const own = loadConfig('tenant', tenantOptions, { env, tolerant: true })
  const ca = loadConfig('ca', caOptions, { env, tolerant: true })
  const settings: TenantSettings = {
    config: own.values,
    caConfig: ca.values,
    keylimeDir: own.keylimeDir,
    env,
    warnings: [...new Set([...own.warnings, ...ca.warnings])],
    isConfigured: (option) => own.origin[option] !== 'default',
  }
  return { settings, problems: [...own.problems, ...ca.problems] }
}
