import { servicePassword } from '../../authority/service-password.ts'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { complaintOf } from '../../core/errors.ts'
import { withVerifiers } from '../../core/pki/authorized-clients.ts'
import { type Clock, systemClock } from '../../io/clock.ts'
import {
  type CertificateEnd,
  certificateEnds,
  checkDates,
  type FileDates,
  type FoundDates,
  identityDates,
  tellDates,
} from '../../io/files/identity-dates.ts'
import { filesOf, loadTlsIdentity, serverRequest, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import type { ServerTls } from '../../io/http/server.ts'
import { type Logger, warningsInto } from '../../io/log/logger.ts'
import type { RegistrarSettings } from './registrar-settings.ts'

/** What tells time and is told, for this room. */
export interface Used {
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
}

export interface RegistrarTls {
  readonly server: ServerTls
  /** All files that it is from. */
  readonly files: readonly string[]
  dates(): FileDates[]
  /** Until when they can be used. */
  readonly ends: readonly CertificateEnd[]
}

/** The registrar's own certificate and who may call it. Makes what `tls_dir = generate` promises. What is to be said of dates goes to the log. */
export async function registrarTls(settings: RegistrarSettings, used: Used): Promise<RegistrarTls> {
  const { clock, logger } = used
  const directory = await ensureDirectory(settings, used)
  const tls = await loadIdentity(settings, directory)
  const dates = () => identityDates(tls, 'server', clock.now())
  tellDates(dates(), logger)
  const clients = serverClients(tls, callersOf(settings), directory, { now: clock.now, logger })
  return { server: { ...tls, clients, requireCertificate: false }, files: filesOf(tls), dates, ends: certificateEnds(tls, 'server') }
}

/** As long as the registrar runs: with `tls_dir = generate` its certificate is made anew in time. Never throws. */
export async function renewOwn(settings: RegistrarSettings, used: Used): Promise<void> {
  if (settings.values.tls_dir !== 'generate') return
  await ensureDirectory(settings, used).catch((error) =>
    used.logger.error(`the certificate of tls_dir = generate cannot be renewed: ${complaintOf(error)}`),
  )
}

/** A verifier, too: it looks up where a machine is now. */
const callersOf = ({ values }: RegistrarSettings) => ({ ...values, authorized_clients: withVerifiers(values.authorized_clients) })

async function ensureDirectory({ values, ca, keylimeDir }: RegistrarSettings, { clock, logger }: Used): Promise<string> {
  return ensureTlsDirectory({
    role: 'registrar',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword:
      values.tls_dir === 'generate' ? await servicePassword(tlsDirectory('generate', keylimeDir, 'registrar'), ca.password) : ca.password,
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: '',
    now: clock.now,
    warn: (text) => logger.warn(text),
    told: (file, need) => logger.info(need === 'renewal' ? `${file} is renewed: two thirds of its life are over` : `${file} is made`),
  })
}

/**
 * For `--check-config`: what the start would say of the certificates and revocation lists of a directory that is there; nothing is made.
 * @throws KeylimeError `config_invalid` for what the start would refuse.
 */
export async function checkTlsFiles(settings: RegistrarSettings, directory: string, found: FoundDates): Promise<void> {
  const { values } = settings
  const { now } = systemClock
  const tls = await loadIdentity(settings, directory)
  checkDates(identityDates(tls, 'server', now()), found, values.tls_dir === 'generate' ? [tls.certFile] : [])
  serverClients(tls, callersOf(settings), directory, { now, logger: warningsInto(found.warnings) })
}

const loadIdentity = ({ values, keylimeDir }: RegistrarSettings, directory: string): Promise<TlsIdentity> =>
  loadTlsIdentity(serverRequest(values, { keylimeDir, directory }))
