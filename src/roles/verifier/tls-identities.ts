import { keepTlsCrl } from '../../authority/keep-crl-right.ts'
import { servicePassword } from '../../authority/service-password.ts'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { complaintOf } from '../../core/errors.ts'
import { Problems } from '../../core/problems.ts'
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
import { clientRequest, filesOf, loadTlsIdentity, serverRequest, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { serverClients } from '../../io/http/client-check.ts'
import type { ServerTls } from '../../io/http/server.ts'
import { type Logger, warningsInto } from '../../io/log/logger.ts'
import { type Authorities, authorityFiles, readAuthoritiesOf } from './authorities/authorities.ts'
import type { VerifierSettings } from './verifier-settings.ts'

export interface VerifierTls {
  /** Towards whoever asks the verifier, and who may. */
  readonly server: ServerTls
  /** Towards agents and the webhook. */
  readonly client: TlsIdentity
  readonly directory: string
  /** All files that it is from. */
  readonly files: readonly string[]
  dates(): FileDates[]
  /** Until when they can be used. */
  readonly ends: readonly CertificateEnd[]
  /** What agents are told of the authorities that count: with `tls_dir = generate`. */
  readonly authorities: Authorities | null
}

/** What tells time and is told, for this room. */
export interface Used {
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
}

/** The verifier's own certificates and who may call it. Makes what `tls_dir = generate` promises. What is to be said of dates goes to the log. */
export async function verifierTls(settings: VerifierSettings, used: Used): Promise<VerifierTls> {
  const { values } = settings
  const { logger } = used
  const { now } = used.clock
  const directory = await ensureDirectory(settings, used)
  await renewOwnList(settings, directory, used)
  const { server, client } = await loadIdentities(settings, directory)
  const dates = () => datesOf({ server, client }, now())
  tellDates(dates(), logger)
  const clients = serverClients(server, values, directory, { now, logger })
  const files = [...filesOf(server), ...filesOf(client), ...authorityFiles(directory)]
  return {
    server: { ...server, clients, requireCertificate: false },
    client,
    directory,
    files,
    dates,
    ends: [...certificateEnds(server, 'server'), ...certificateEnds(client, 'client')],
    authorities: values.tls_dir === 'generate' ? await readAuthoritiesOf(directory, client) : null,
  }
}

/** Makes what `tls_dir = generate` promises, or makes it anew. @returns the directory. */
async function ensureDirectory(settings: VerifierSettings, { clock, logger }: Used): Promise<string> {
  const { values, ca, keylimeDir } = settings
  return ensureTlsDirectory({
    role: 'verifier',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: await caPasswordOf(settings),
    settings: ca.settings,
    serverKeyPassword: values.server_key_password.reveal(),
    clientKeyPassword: values.client_key_password.reveal(),
    now: clock.now,
    warn: (text) => logger.warn(text),
    told: (file, need) => logger.info(need === 'renewal' ? `${file} is renewed: two thirds of its life are over` : `${file} is made`),
  })
}

/** As long as the verifier runs: with `tls_dir = generate` certificates and the revocation list of its authority are made anew in time. Never throws. */
export async function renewOwn(settings: VerifierSettings, used: Used): Promise<void> {
  if (settings.values.tls_dir !== 'generate') return
  try {
    await renewOwnList(settings, await ensureDirectory(settings, used), used)
  } catch (error) {
    used.logger.error(`the certificates of tls_dir = generate cannot be renewed: ${complaintOf(error)}`)
  }
}

async function renewOwnList(settings: VerifierSettings, directory: string, { clock, logger }: Used): Promise<void> {
  const { values, ca } = settings
  if (values.tls_dir !== 'generate') return
  await keepTlsCrl({ directory, password: await caPasswordOf(settings), settings: ca.settings, now: clock.now }, logger)
}

const caPasswordOf = ({ values, ca, keylimeDir }: VerifierSettings): Promise<string> | string =>
  values.tls_dir === 'generate' ? servicePassword(tlsDirectory('generate', keylimeDir, 'verifier'), ca.password) : ca.password

/**
 * For `--check-config`: what the start would say of the certificates and revocation lists of a directory that is there; nothing is made.
 * @throws KeylimeError `config_invalid` for what the start would refuse.
 */
export async function checkTlsFiles(settings: VerifierSettings, directory: string, found: FoundDates): Promise<void> {
  const { values } = settings
  const { now } = systemClock
  const { server, client } = await loadIdentities(settings, directory)
  checkDates(datesOf({ server, client }, now()), found, values.tls_dir === 'generate' ? [server.certFile, client.certFile] : [])
  serverClients(server, values, directory, { now, logger: warningsInto(found.warnings) })
}

async function loadIdentities({ values, keylimeDir }: VerifierSettings, directory: string) {
  const place = { keylimeDir, directory }
  const problems = new Problems()
  // One after the other: the second must not fail while nobody waits for it.
  const server = await problems.wait(loadTlsIdentity(serverRequest(values, place)))
  const client = await problems.wait(loadTlsIdentity(clientRequest(values, place)))
  problems.refuse()
  return { server: server!, client: client! }
}

const datesOf = ({ server, client }: { server: TlsIdentity; client: TlsIdentity }, now: number): FileDates[] => [
  ...identityDates(server, 'server', now),
  ...identityDates(client, 'client', now),
]
