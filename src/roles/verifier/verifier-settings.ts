import { caOptions, caSettings } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
import type { Values } from '../../config/option.ts'
import { verifierOptions } from '../../config/verifier.ts'
import type { CaSettings } from '../../core/pki/ca-settings.ts'

export type VerifierValues = Values<typeof verifierOptions>

/** The configuration of one start, read once. */
export interface VerifierSettings {
  readonly values: VerifierValues
  /** Of ca.conf: for `tls_dir = generate`. */
  readonly ca: { readonly settings: CaSettings; readonly password: string }
  readonly keylimeDir: string
  readonly warnings: readonly string[]
}

/** Reads verifier.conf and ca.conf. @throws KeylimeError `config_invalid` with all values that cannot be used. */
export function loadVerifierSettings(env: Environment): VerifierSettings {
  const { values, keylimeDir, warnings } = loadConfig('verifier', verifierOptions, { env })
  const ca = loadConfig('ca', caOptions, { env }).values
  return { values, ca: { settings: caSettings(ca), password: ca.password.reveal() }, keylimeDir, warnings }
}
