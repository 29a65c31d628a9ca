import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { systemClock } from '../../io/clock.ts'
import { BootLog, readBootTime } from '../../io/files/boot-log.ts'
import { ImaLog } from '../../io/files/ima-log.ts'
import { openSecureMount, type SecureMount } from '../../io/files/secure-mount.ts'
import { openApiClient } from '../../io/http/api-client.ts'
import { type Listening, serve } from '../../io/http/server.ts'
import type { Logger } from '../../io/log/logger.ts'
import { nativeAddon } from '../../io/native/native-addon.ts'
import { randomBytes } from '../../io/random.ts'
import { openTpm } from '../../io/tpm/open-tpm.ts'
import type { Tpm } from '../../io/tpm/tpm.ts'
import type { AgentContext } from './agent-context.ts'
import { type AgentSettings } from './agent-settings.ts'
import { Payloads } from './deliver-payload.ts'
import { type AgentIdentity, openIdentity } from './identity.ts'
import { accountOf, dropPrivileges, handOver } from './privileges.ts'
import { registerWithRetries } from './registration.ts'
import { type ActionUser, openActionUser } from './revocation/action-user.ts'
import { createRevocationWorker } from './revocation/revocation-worker.ts'
import { listenOverZeromq } from './revocation/zeromq-listener.ts'
import type { RevocationInbox } from './revocation-inbox.ts'
import { agentRoutes } from './routes.ts'
import { openServerCertificate, type ServerCertificate } from './server-certificate.ts'
import { openTransportKey } from './transport-key.ts'
import { readTrust, type Trust } from './trust.ts'
import { unknownRoute } from './unknown-route.ts'

export interface RunningAgent {
  agentId: string
  port: number
  /** Resolves when all deliveries so far are worked off. */
  idle(): Promise<void>
  stop(): Promise<void>
}

export interface AgentDependencies {
  /** TCTI in place of the environment's. */
  tcti?: string | undefined
  inbox?: RevocationInbox
}

/** Verifiers ask every few seconds: a connection must outlive several pauses. */
const KEEP_ALIVE_SECONDS = 120
const REGISTRAR_TIMEOUT_SECONDS = 60
/** A TPM that does not answer must not keep the agent from ending. */
const CLOSE_PATIENCE_MS = 2000

/**
 * Starts the agent in upstream's order (protocol 2.1): tmpfs, privileges, TPM, keys, registration; then it serves. Registered and serving when it returns.
 * @throws KeylimeError for whatever keeps it from starting.
 */
export async function startAgent(settings: AgentSettings, logger: Logger, given: AgentDependencies = {}): Promise<RunningAgent> {
  for (const warning of settings.warnings) logger.warn(warning)
  const undo: (() => unknown)[] = []
  try {
    const local = prepareMachine(settings, logger, undo)
    const tpm = await openTpm({ tcti: given.tcti ?? settings.env['TCTI'] })
    undo.push(() => tpm.close())
    return await startWithTpm({ settings, logger, tpm, undo, ...local }, given)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

interface Prepared {
  trust: Trust
  secure: SecureMount
  imaLog: ImaLog
  bootLog: BootLog
  actionUser: ActionUser | null
}

interface Start extends Prepared {
  settings: AgentSettings
  logger: Logger
  tpm: Tpm
  undo: (() => unknown)[]
}

/** What needs root comes first; then root is given up. */
function prepareMachine(settings: AgentSettings, logger: Logger, undo: (() => unknown)[]): Prepared {
  const { values, runAsChosen, keylimeDir, paths } = settings
  process.umask(0o077)
  const trust = readTrust(settings)
  const lock = holdDirectory(keylimeDir)
  undo.push(() => fs.closeSync(lock))
  const imaLog = new ImaLog(paths.imaLog)
  const bootLog = new BootLog(paths.bootLog)
  undo.push(
    () => imaLog.close(),
    () => bootLog.close(),
  )
  if (!imaLog.open()) logger.info('this machine has no IMA measurement list', { path: paths.imaLog })
  if (!bootLog.open()) logger.info('this machine has no event log of its firmware', { path: paths.bootLog })
  const account = accountOf(values.run_as, runAsChosen, logger)
  const owner = account ?? { uid: process.geteuid!(), gid: process.getegid!() }
  const secure = openSecureMount({ directory: paths.secure, size: values.secure_size, owner, logger })
  const actionUser = openActionUser(settings, account, logger)
  undo.push(() => actionUser?.room.unmount())
  if (account) {
    handOver([keylimeDir, lockFile(keylimeDir), paths.serverKey, paths.serverCert, paths.payloadKey, paths.agentData], account)
    dropPrivileges(account, logger)
  }
  return { trust, secure, imaLog, bootLog, actionUser }
}

async function startWithTpm(start: Start, given: AgentDependencies): Promise<RunningAgent> {
  const { settings, logger, tpm, undo, secure } = start
  const { values, paths } = settings
  const identity = await openIdentity(tpm, settings, logger)
  undo.push(() => Promise.race([identity.keys.close(), sleep(CLOSE_PATIENCE_MS, undefined, { ref: false })]))
  const { agentId } = identity
  const transport = await openTransportKey(paths.payloadKey, values.payload_key_password.reveal())
  const certificate = values.enable_agent_mtls ? await serverCertificate(settings, agentId, logger) : null
  if (!certificate) logger.warn('serving without TLS: everybody who reaches the port may ask for quotes')
  const inbox = given.inbox ?? revocationInbox(start, agentId)
  const payloads = new Payloads({
    agentId,
    secure,
    names: {
      key: values.enc_keyname,
      payload: values.dec_payload_file,
      script: values.payload_script,
      extractZip: values.extract_payload_zip,
    },
    scriptTimeoutSeconds: values.payload_script_timeout,
    allowed: values.enable_agent_mtls || values.enable_insecure_payload,
    inbox,
    env: settings.env,
    logger,
  })
  const context: AgentContext = {
    agentId,
    apiVersions: settings.apiVersions,
    ak: settings.ak,
    keys: identity.keys,
    transport,
    imaLog: start.imaLog,
    bootLog: start.bootLog,
    bootTime: readBootTime(),
    payloads,
    inbox,
    logger,
  }
  if (values.enable_revocation_notifications) {
    const { revocation_notification_ip: host, revocation_notification_port: port } = values
    const zeromq = await listenOverZeromq({ host, port, inbox, logger })
    undo.push(() => zeromq.close())
  }
  await register(start, identity, certificate)
  const server = await listen(context, start, certificate)
  payloads.resume()
  logger.info(`agent ${agentId} serves on ${hostPort(values.ip, server.port)}`, {
    contact: hostPort(values.contact_ip, values.contact_port),
  })
  return {
    agentId,
    port: server.port,
    idle: () => payloads.idle(),
    async stop() {
      await server.close()
      await payloads.stop()
      await inbox.close()
      for (const step of undo.reverse()) await step()
      if (values.unmount_secure && secure.mountedByUs) secure.unmount()
    },
  }
}

async function register({ settings, trust, logger }: Start, identity: AgentIdentity, certificate: ServerCertificate | null) {
  const { values } = settings
  const url = values.registrar_tls_enabled
    ? `https://${hostPort(values.registrar_ip, values.registrar_tls_port)}`
    : `http://${hostPort(values.registrar_ip, values.registrar_port)}`
  const client = openApiClient({
    url,
    name: 'registrar',
    timeoutSeconds: REGISTRAR_TIMEOUT_SECONDS,
    ...(values.registrar_tls_enabled ? { tls: { ca: trust.registrar } } : {}),
  })
  const backOff = {
    initialDelayMs: values.exponential_backoff_initial_delay,
    maxRetries: values.exponential_backoff_max_retries,
    maxDelayMs: values.exponential_backoff_max_delay,
  }
  const request = {
    client,
    identity,
    iak: settings.deviceKeys?.iak,
    contactIp: values.contact_ip,
    contactPort: values.contact_port,
    mtlsCert: certificate?.certPem ?? null,
    apiVersions: settings.apiVersions,
    logger,
  }
  try {
    await registerWithRetries(request, backOff, (milliseconds) => sleep(milliseconds))
  } finally {
    await client.close()
  }
}

function listen(context: AgentContext, { settings, trust }: Start, certificate: ServerCertificate | null): Promise<Listening> {
  const { values, apiVersions, maxPayloadBody } = settings
  return serve({
    host: values.ip,
    port: values.port,
    routes: agentRoutes(context, maxPayloadBody),
    versions: apiVersions,
    bodyRoomBytes: { anonymous: 2 * maxPayloadBody, certified: maxPayloadBody },
    logger: context.logger,
    unknownRoute: ({ method, path: asked }) => unknownRoute(method, asked, apiVersions),
    keepAliveSeconds: KEEP_ALIVE_SECONDS,
    ...(certificate ? { tls: { cert: certificate.certPem, key: certificate.keyPem, ca: trust.clients, requireCertificate: true } } : {}),
  })
}

const serverCertificate = ({ values, paths }: AgentSettings, agentId: string, logger: Logger) =>
  openServerCertificate({
    keyFile: paths.serverKey,
    certFile: paths.serverCert,
    password: values.server_key_password.reveal(),
    agentId,
    contactIp: values.contact_ip,
    now: systemClock.now(),
    serial: randomBytes(16),
    logger,
  })

const lockFile = (keylimeDir: string) => path.join(keylimeDir, '.agent.lock')

/** Two agents with one directory would overwrite each other's keys. The lock is the process' own and ends with it. */
function holdDirectory(keylimeDir: string): number {
  let fd: number
  try {
    fd = fs.openSync(lockFile(keylimeDir), fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw new KeylimeError('file_failed', `cannot write into ${keylimeDir}: ${(cause as Error).message}`, {
      cause,
      hint: 'create keylime_dir and give it to the user who runs the agent, or set KEYLIME_DIR',
    })
  }
  if (nativeAddon().tryLock(fd)) return fd
  fs.closeSync(fd)
  throw new KeylimeError('conflict', `another agent is running with ${keylimeDir}`, { hint: 'stop it, or set another KEYLIME_DIR' })
}

function revocationInbox({ settings, logger, secure, actionUser }: Start, agentId: string): RevocationInbox {
  const { values, keylimeDir, env } = settings
  const unzipped = path.join(secure.directory, 'unzipped')
  const certificate =
    values.revocation_cert === 'default' || values.revocation_cert === ''
      ? path.join(unzipped, 'RevocationNotifier-cert.crt')
      : values.revocation_cert
  const shown = Object.entries(values).filter(([, value]) => !(value instanceof Secret))
  return createRevocationWorker({
    certificateFile: path.resolve(keylimeDir, certificate),
    unzipped,
    configuredActions: values.revocation_actions,
    actionsDirectory: values.revocation_actions_dir,
    allowPayloadActions: values.allow_payload_revocation_actions,
    goOnAfterFailure: values.revocation_actions_go_on,
    surroundings: {
      keylimeDir,
      roomParents: actionUser ? [actionUser.room.directory] : [secure.directory, keylimeDir],
      runAs: actionUser?.account ?? null,
      agentId,
      settings: Object.fromEntries(shown),
      timeLimitSeconds: values.revocation_action_timeout,
      env,
      logger,
    },
    logger,
  })
}
