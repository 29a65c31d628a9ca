import fs from 'node:fs'
import path from 'node:path'
import type { CaAccess } from '../../../authority/ca-access.ts'
import { endingCertificates } from '../../../authority/ending-certificates.ts'
import { keepCrlRight } from '../../../authority/keep-crl-right.ts'
import { withAuthority } from '../../../authority/open-authority.ts'
import { watchAuthority } from '../../../authority/watch-authority.ts'
import { API_VERSIONS } from '../../../core/api/versions.ts'
import { causeChain } from '../../../core/errors.ts'
import { type Listening, serve } from '../../../io/http/server.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { type CertificateUpkeep, keepCertificates } from '../../../io/service/certificate-upkeep.ts'
import { tellForeignDirectory } from '../../../io/service/tell-foreign-directory.ts'
import type { CaConfig } from '../open-ca.ts'
import { watchKeyStore } from './key-store-watch.ts'
import { listenerTls } from './listener-tls.ts'
import { createRevocationInbox } from './revocation-inbox.ts'
import { type ListenerContext, listenerRoutes, MAX_NOTIFICATION_BYTES, revocationRoutes } from './routes.ts'
import { listenOverZeromq } from './zeromq-listener.ts'

export interface ListenRequest {
  readonly access: CaAccess
  readonly config: CaConfig
  /** `-n`: certificate of the RevocationNotifier, a path or a name in the directory. */
  readonly notifier: string | undefined
  readonly logger: Logger
  /** Between two looks at the files of certificates. */
  readonly lookMs?: number
}

export interface RunningListener {
  readonly port: number
  /** 0 when there is none. */
  readonly tlsPort: number
  stop(): Promise<void>
  reload(): Promise<string>
}

/** Some notifications of the largest size at the same time. */
const BODY_ROOM = { anonymous: 8 * MAX_NOTIFICATION_BYTES, certified: 8 * MAX_NOTIFICATION_BYTES }
const CRL_CHECK_MS = 60_000
const RETRY_MS = 5_000
const LOOK_MS = 1_000
const DAY_MS = 86_400_000

/** `keylime ca listen`: serves the list and OCSP, and takes signed revocations. Serves when it returns. @throws KeylimeError `wrong_password` and the like. */
export async function startListener({ access, config, notifier, logger, ...looks }: ListenRequest): Promise<RunningListener> {
  const { values } = config
  tellForeignDirectory(access.directory, logger)
  await withAuthority(access, async () => undefined)
  const watch = watchAuthority(access)
  const notifierFile = notifierPath(access.directory, notifier)
  const inbox = createRevocationInbox({ access, watch, notifierFile, logger })
  const context: ListenerContext = { watch, inbox, logger, now: access.now }
  await keepCrlRight({ access, watch, logger })
  await tellEnding(access, logger)
  const options = { host: values.listen_ip, versions: API_VERSIONS, bodyRoomBytes: BODY_ROOM, logger }
  const { revocation_notification_ip: host, revocation_notification_port: zeromqPort } = values
  const zeromq = host === '' ? null : await listenOverZeromq({ host, port: zeromqPort, inbox, maxBytes: MAX_NOTIFICATION_BYTES, logger })
  const plain = await serve({ ...options, port: values.listen_port, routes: listenerRoutes(context) }).catch(async (error) => {
    await zeromq?.close()
    throw error
  })
  const secure = await serveTls(context, config, { ...options, ...looks }).catch(async (error) => {
    await Promise.all([plain.close(0), zeromq?.close()])
    throw error
  })
  const keyStore = watchKeyStore(access, watch, logger, () => inbox.retry())
  const timers = [
    setInterval(() => void keyStore.look(), LOOK_MS).unref(),
    setInterval(() => void keepCrlRight({ access, watch, logger }), CRL_CHECK_MS).unref(),
    setInterval(() => void inbox.retry(), RETRY_MS).unref(),
    setInterval(() => void tellEnding(access, logger), DAY_MS).unref(),
  ]
  logger.info(`authority ${access.directory} serves its revocation list and OCSP on http://${values.listen_ip}:${plain.port}`)
  return {
    port: plain.port,
    tlsPort: secure?.listening.port ?? 0,
    async reload() {
      return secure ? secure.upkeep.reload() : 'there is no listen_tls_port, so there is nothing to read again'
    },
    async stop() {
      for (const timer of timers) clearInterval(timer)
      secure?.upkeep.stop()
      await Promise.all([plain.close(), secure?.listening.close(), zeromq?.close()])
      await inbox.retry()
    },
  }
}

/** Once a day: of the authority itself, and of what machines have of it. */
async function tellEnding({ directory, now }: CaAccess, logger: Logger): Promise<void> {
  const texts = await endingCertificates(directory, now()).catch((error) => causeChain(error))
  for (const text of texts) logger.warn(text)
}

/** `listen_tls_port`: revocations only, from clients of the installation's CA. */
async function serveTls(
  context: ListenerContext,
  config: CaConfig,
  { lookMs, ...options }: Omit<Parameters<typeof serve>[0], 'port' | 'routes'> & { lookMs?: number },
): Promise<{ listening: Listening; upkeep: CertificateUpkeep } | undefined> {
  const { listen_tls_port: port } = config.values
  if (port === 0) return undefined
  const routes = revocationRoutes(context, 'admin')
  let tls = await listenerTls(config, context)
  const listening = await serve({ ...options, port, tls: tls.server, routes })
  const reload = async () => {
    const fresh = await listenerTls(config, context)
    listening.renewTls(fresh.server)
    tls = fresh
    return 'certificates, trusted CAs and revocation lists of listen_tls_port are read again'
  }
  const duties = { files: () => tls.files, reload, dates: () => tls.dates() }
  return { listening, upkeep: keepCertificates(duties, { clock: context, logger: context.logger, ...(lookMs ? { lookMs } : {}) }) }
}

function notifierPath(directory: string, given: string | undefined): string {
  if (!given) return path.join(directory, 'RevocationNotifier-cert.crt')
  const candidates = [path.resolve(directory, given), path.resolve(directory, `${given}-cert.crt`), path.resolve(given)]
  return candidates.find((file) => fs.existsSync(file)) ?? path.resolve(given)
}
