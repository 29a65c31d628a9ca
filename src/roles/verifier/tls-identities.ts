import { keepTlsCrl } from '../../authority/keep-crl-right.ts'
import { servicePassword } from '../../authority/service-password.ts'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { systemClock } from '../../io/clock.ts'
import { checkDates, type FoundDates, identityDates, tellDates } from '../../io/files/identity-dates.ts'
import { loadTlsIdentity, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import type { ServerTls } from '../../io/http/server.ts'
import { type Logger, warningsInto } from '../../io/log/logger.ts'
import type { VerifierSettings } from './verifier-settings.ts'

const { now } = systemClock

export interface VerifierTls {
  /** Towards whoever asks the verifier, and who may. */
  readonly server: ServerTls
  /** Towards agents and the webhook. */
  readonly client: TlsIdentity
  readonly directory: string
}

/** The verifier's own certificates and who may call it. Makes what `tls_dir = generate` promises. What is to be said of dates goes to the log. */
export async function verifierTls(settings: VerifierSettings, logger: Logger): Promise<VerifierTls> {
  const { values, ca, keylimeDir } = settings
  const directory = await ensureTlsDirectory({
    role: 'verifier',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: await caPasswordOf(settings),
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: values.client_key_password.reveal(),
    now,
  })
  await renewOwnList(settings, directory, logger)
  const { server, client } = await loadIdentities(settings, directory)
  tellDates(datesOf({ server, client }), logger)
  const clients = serverClients(server, values, directory, { now, logger })
  return { server: { ...server, clients, requireCertificate: false }, client, directory }
}

const LIST_CHECK_MS = 3_600_000

/** With `tls_dir = generate` the revocation list of its authority is published anew in time, as long as the verifier runs. @returns how that is ended. */
export function keepOwnList(settings: VerifierSettings, directory: string, logger: Logger): () => void {
  const timer = setInterval(() => void renewOwnList(settings, directory, logger), LIST_CHECK_MS).unref()
  return () => clearInterval(timer)
}

async function renewOwnList(settings: VerifierSettings, directory: string, logger: Logger): Promise<void> {
  const { values, ca } = settings
  if (values.tls_dir !== 'generate') return
  await keepTlsCrl({ directory, password: await caPasswordOf(settings), settings: ca.settings, now }, logger)
}

const caPasswordOf = ({ values, ca, keylimeDir }: VerifierSettings): Promise<string> | string =>
  values.tls_dir === 'generate' ? servicePassword(tlsDirectory('generate', keylimeDir, 'verifier'), ca.password) : ca.password

/**
 * For `--check-config`: what the start would say of the certificates and revocation lists of a directory that is there; nothing is made.
 * @throws KeylimeError `config_invalid` for what the start would refuse.
 */
export async function checkTlsFiles(settings: VerifierSettings, directory: string, found: FoundDates): Promise<void> {
  const { values } = settings
  const { server, client } = await loadIdentities(settings, directory)
  checkDates(datesOf({ server, client }), found, values.tls_dir === 'generate' ? [server.certFile, client.certFile] : [])
  serverClients(server, values, directory, { now, logger: warningsInto(found.warnings) })
}

async function loadIdentities({ values, keylimeDir }: VerifierSettings, directory: string) {
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
  return { server, client }
}

const datesOf = ({ server, client }: { server: TlsIdentity; client: TlsIdentity }) => [
  ...identityDates(server, 'server', now()),
  ...identityDates(client, 'client', now()),
]
