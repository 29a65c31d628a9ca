import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { loadTlsIdentity, type TlsIdentity } from '../../io/files/tls-identity.ts'
import type { RegistrarSettings } from './registrar-settings.ts'

/** The registrar's own certificate. Makes what `tls_dir = generate` promises. */
export async function tlsIdentity(settings: RegistrarSettings): Promise<TlsIdentity> {
  const { values, ca, keylimeDir } = settings
  const directory = await ensureTlsDirectory({
    role: 'registrar',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: ca.password,
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: '',
    now: systemClock.now,
  })
  return loadIdentity(settings, directory)
}

/** The same of a directory that is there. @throws KeylimeError `config_invalid`. */
export const loadIdentity = ({ values, keylimeDir }: RegistrarSettings, directory: string): Promise<TlsIdentity> =>
  loadTlsIdentity({
    keylimeDir,
    directory,
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  })
