import { caOptions, caSettings } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig, refuseProblems } from '../../config/load.ts'
import type { Values } from '../../config/option.ts'
import { registrarOptions } from '../../config/registrar.ts'
import { tenantOptions } from '../../config/tenant.ts'
import type { CaSettings } from '../../core/pki/ca-settings.ts'

/** The configuration of one start, read once. */
export interface RegistrarSettings {
  readonly values: Values<typeof registrarOptions>
  /** Of ca.conf: for `tls_dir = generate`. */
  readonly ca: { readonly settings: CaSettings; readonly password: string }
  /** Certificates of TPM makers, for IAK and IDevID: `tpm_cert_store` of tenant.conf, as upstream. */
  readonly makerStore: string
  readonly keylimeDir: string
  readonly warnings: readonly string[]
}

/** Reads registrar.conf, ca.conf and tenant.conf. @throws KeylimeError `config_invalid` with all values that cannot be used. */
export function loadRegistrarSettings(env: Environment): RegistrarSettings {
  const { settings, problems } = readRegistrarSettings(env)
  refuseProblems('registrar', problems)
  return settings
}

/** The same for a check: values that cannot be used count as their defaults, so that the rest can be looked at too. */
export function readRegistrarSettings(env: Environment): { settings: RegistrarSettings; problems: string[] } {
  const own = loadConfig('registrar', registrarOptions, { env, tolerant: true })
  const ca = loadConfig('ca', caOptions, { env, tolerant: true })
  const tenant = loadConfig('tenant', tenantOptions, { env, tolerant: true })
  const settings = {
    values: own.values,
    ca: { settings: caSettings(ca.values), password: ca.values.password.reveal() },
    makerStore: tenant.values.tpm_cert_store,
    keylimeDir: own.keylimeDir,
    warnings: [...new Set([own, ca, tenant].flatMap(({ warnings }) => warnings))],
  }
  return { settings, problems: [own, ca, tenant].flatMap(({ problems }) => problems) }
}
