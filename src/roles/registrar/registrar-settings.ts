import { caOptions, caSettings } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
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

/** Reads registrar.conf, ca.conf and tenant.conf. @throws KeylimeError `config_invalid` with all values of a file that cannot be used. */
export function loadRegistrarSettings(env: Environment): RegistrarSettings {
  const { values, keylimeDir, warnings } = loadConfig('registrar', registrarOptions, { env })
  const { values: ca, warnings: caWarnings } = loadConfig('ca', caOptions, { env })
  const { values: tenant, warnings: tenantWarnings } = loadConfig('tenant', tenantOptions, { env })
  return {
    values,
    ca: { settings: caSettings(ca), password: ca.password.reveal() },
    makerStore: tenant.tpm_cert_store,
    keylimeDir,
    warnings: [...new Set([...warnings, ...caWarnings, ...tenantWarnings])],
  }
}
