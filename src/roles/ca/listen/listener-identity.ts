import { loadTlsIdentity, type TlsIdentity, tlsDirectory } from '../../../io/files/tls-identity.ts'
import type { CaConfig } from '../open-ca.ts'

/** The certificate for `listen_tls_port`. @throws KeylimeError `config_invalid`. */
export const listenerIdentity = ({ values, keylimeDir }: CaConfig): Promise<TlsIdentity> =>
  loadTlsIdentity({
    keylimeDir,
    directory: tlsDirectory(values.tls_dir, keylimeDir, 'tenant'),
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  })
