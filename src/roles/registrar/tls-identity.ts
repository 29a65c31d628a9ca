import { servicePassword } from '../../authority/service-password.ts'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { checkDates, type FoundDates, identityDates, tellDates } from '../../io/files/identity-dates.ts'
import { loadTlsIdentity, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import type { ServerTls } from '../../io/http/server.ts'
import { type Logger, warningsInto } from '../../io/log/logger.ts'
import type { RegistrarSettings } from './registrar-settings.ts'

const { now } = systemClock

/** The registrar's own certificate and who may call it. Makes what `tls_dir = generate` promises. What is to be said of dates goes to the log. */
export async function registrarTls(settings: RegistrarSettings, logger: Logger): Promise<ServerTls> {
  const { values, ca, keylimeDir } = settings
  const directory = await ensureTlsDirectory({
    role: 'registrar',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword:
      values.tls_dir === 'generate' ? await servicePassword(tlsDirectory('generate', keylimeDir, 'registrar'), ca.password) : ca.password,
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: '',
    now,
  })
  const tls = await loadIdentity(settings, directory)
  tellDates(identityDates(tls, 'server', now()), logger)
  return { ...tls, clients: serverClients(tls, values, directory, { now, logger }), requireCertificate: false }
}

/**
 * For `--check-config`: what the start would say of the certificates and revocation lists of a directory that is there; nothing is made.
 * @throws KeylimeError `config_invalid` for what the start would refuse.
 */
export async function checkTlsFiles(settings: RegistrarSettings, directory: string, found: FoundDates): Promise<void> {
  const { values } = settings
  const tls = await loadIdentity(settings, directory)
  checkDates(identityDates(tls, 'server', now()), found, values.tls_dir === 'generate' ? [tls.certFile] : [])
  serverClients(tls, values, directory, { now, logger: warningsInto(found.warnings) })
}

const loadIdentity = ({ values, keylimeDir }: RegistrarSettings, directory: string): Promise<TlsIdentity> =>
  loadTlsIdentity({
    keylimeDir,
    directory,
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  })
