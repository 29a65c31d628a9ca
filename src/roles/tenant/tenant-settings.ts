import { caOptions } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
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

/** Reads tenant.conf and ca.conf. @throws KeylimeError `config_invalid` with all values of a file that cannot be used. */
export function loadTenantSettings(env: Environment): TenantSettings {
  const { values: config, warnings, keylimeDir, origin } = loadConfig('tenant', tenantOptions, { env })
  return {
    config,
    caConfig: loadConfig('ca', caOptions, { env }).values,
    keylimeDir,
    env,
    warnings,
    isConfigured: (option) => origin[option] !== 'default',
  }
}
