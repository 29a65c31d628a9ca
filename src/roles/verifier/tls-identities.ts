import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { loadTlsIdentity } from '../../io/files/tls-identity.ts'
import type { VerifierSettings } from './verifier-settings.ts'

/** The verifier's own certificates: towards whoever asks it, and towards agents and the webhook. Makes what `tls_dir = generate` promises. */
export async function tlsIdentities(settings: VerifierSettings) {
  const { values, ca, keylimeDir } = settings
  const serverKeyPassword = values.server_key_password.reveal()
  const clientKeyPassword = values.client_key_password.reveal()
  const directory = await ensureTlsDirectory({
    role: 'verifier',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: ca.password,
    settings: ca.settings,
    serverKeyPassword,
    clientKeyPassword,
    now: systemClock.now,
  })
  return loadIdentities(settings, directory)
}

/** The same of a directory that is there. @throws KeylimeError `config_invalid`. */
export async function loadIdentities({ values, keylimeDir }: VerifierSettings, directory: string) {
  const shared = { keylimeDir, directory }
  const server = {
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  } as const
  const client = {
    side: 'client',
    cert: values.client_cert,
    key: values.client_key,
    keyPassword: values.client_key_password.reveal(),
    trusted: values.trusted_server_ca,
  } as const
  return { server: await loadTlsIdentity({ ...shared, ...server }), client: await loadTlsIdentity({ ...shared, ...client }) }
}
