import fs from 'node:fs'
import path from 'node:path'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { checkDates, identityDates } from '../../io/files/identity-dates.ts'
import { loadTlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import { warningsInto } from '../../io/log/logger.ts'
import type { RegistrarSettings } from './registrar-settings.ts'

/** The registrar's own certificate and whom it believes. Makes what `tls_dir = generate` promises. */
export async function registrarTls(settings: RegistrarSettings) {
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
  return { ...(await load(settings, directory)), directory }
}

/**
 * For `--check-config`: what the start would say of certificates and revocation lists; nothing is made. @returns warnings. @throws KeylimeError `config_invalid` for
 * what cannot be used.
 */
export async function checkTlsFiles(settings: RegistrarSettings): Promise<string[]> {
  const { values, keylimeDir } = settings
  const directory = tlsDirectory(values.tls_dir, keylimeDir, 'registrar')
  if (!fs.existsSync(path.join(directory, 'cacert.crt')) && ['generate', 'default'].includes(values.tls_dir)) return []
  const tls = await load(settings, directory)
  const told: string[] = []
  serverClients(tls, values, directory, { now: systemClock.now, logger: warningsInto(told) })
  return [...checkDates(identityDates(tls, 'server', systemClock.now()), values.tls_dir === 'generate' ? [tls.certFile] : []), ...told]
}

const load = ({ values, keylimeDir }: RegistrarSettings, directory: string) =>
  loadTlsIdentity({
    keylimeDir,
    directory,
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  })
