import fs from 'node:fs'
import path from 'node:path'
import { keepTlsCrl } from '../../authority/keep-crl-right.ts'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { checkDates, identityDates } from '../../io/files/identity-dates.ts'
import { loadTlsIdentity, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import { type Logger, warningsInto } from '../../io/log/logger.ts'
import type { VerifierSettings } from './verifier-settings.ts'

/** The verifier's own certificates: towards whoever asks it, and towards agents and the webhook. Makes what `tls_dir = generate` promises. */
export async function tlsIdentities(settings: VerifierSettings) {
  const { values, ca, keylimeDir } = settings
  const directory = await ensureTlsDirectory({
    role: 'verifier',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: ca.password,
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: values.client_key_password.reveal(),
    now: systemClock.now,
  })
  return loadIdentities(settings, directory)
}

const LIST_CHECK_MS = 3_600_000

/** With `tls_dir = generate` the revocation list of its authority is published anew in time, now and as long as the verifier runs. @returns how that is ended. */
export async function keepOwnList({ values, ca }: VerifierSettings, directory: string, logger: Logger): Promise<() => void> {
  if (values.tls_dir !== 'generate') return () => {}
  const access = { directory, password: ca.password, settings: ca.settings, now: systemClock.now }
  await keepTlsCrl(access, logger)
  const timer = setInterval(() => void keepTlsCrl(access, logger), LIST_CHECK_MS).unref()
  return () => clearInterval(timer)
}

/** Reads them as they are. */
export async function loadIdentities({ values, keylimeDir }: VerifierSettings, directory: string) {
  const shared = { keylimeDir, directory }
  const server = await loadTlsIdentity({
    ...shared,
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: values.server_key_password.reveal(),
    trusted: values.trusted_client_ca,
  })
  const client = await loadTlsIdentity({
    ...shared,
    side: 'client',
    cert: values.client_cert,
    key: values.client_key,
    keyPassword: values.client_key_password.reveal(),
    trusted: values.trusted_server_ca,
  })
  return { server, client, directory }
}

export const datesOf = ({ server, client }: { server: TlsIdentity; client: TlsIdentity }) => [
  ...identityDates(server, 'server', systemClock.now()),
  ...identityDates(client, 'client', systemClock.now()),
]

/**
 * For `--check-config`: what the start would say of certificates and revocation lists; nothing is made. @returns warnings. @throws KeylimeError `config_invalid` for
 * what cannot be used.
 */
export async function checkTlsFiles(settings: VerifierSettings): Promise<string[]> {
  const { values, keylimeDir } = settings
  const directory = tlsDirectory(values.tls_dir, keylimeDir, 'verifier')
  if (values.tls_dir === 'generate' && !fs.existsSync(path.join(directory, 'cacert.crt'))) return []
  const tls = await loadIdentities(settings, directory)
  const told: string[] = []
  serverClients(tls.server, values, directory, { now: systemClock.now, logger: warningsInto(told) })
  return [...checkDates(datesOf(tls), values.tls_dir === 'generate' ? [tls.server.certFile, tls.client.certFile] : []), ...told]
}
