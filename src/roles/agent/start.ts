import { setTimeout as sleep } from 'node:timers/promises'
import { hostPort } from '../../core/api/host-port.ts'
import { type Clock, systemClock } from '../../io/clock.ts'
import { removeLeftovers } from '../../io/files/atomic-file.ts'
import { readBootTime } from '../../io/files/boot-log.ts'
import { type Listening, serve } from '../../io/http/server.ts'
import type { Logger } from '../../io/log/logger.ts'
import type { CertificateUpkeep } from '../../io/service/certificate-upkeep.ts'
import { openTpm } from '../../io/tpm/open-tpm.ts'
import type { AgentSettings } from './agent-settings.ts'
import type { AgentContext } from './api/agent-context.ts'
import { agentRoutes } from './api/routes.ts'
import { unknownRoute } from './api/unknown-route.ts'
import { authorityFollower } from './identity/authority-follower.ts'
import { keepAgentCertificates, type OwnTls, ownCertificate, tlsOf } from './identity/keep-agent-certificates.ts'
import { type AgentIdentity, openIdentity } from './identity/open-identity.ts'
import type { ServerCertificate } from './identity/server-certificate.ts'
import { openTransportKey, type TransportKey } from './identity/transport-key.ts'
import { OperatorTrust } from './machine/operator-trust.ts'
import { type Machine, prepareMachine } from './machine/prepare-machine.ts'
import { PayloadReceiver } from './payload/payload-receiver.ts'
import { SealedDeliveries } from './payload/sealed-deliveries.ts'
import { startPush } from './push/start-push.ts'
import type { PushSettings } from './push-settings.ts'
import { registerAtRegistrar } from './registration/register-at-registrar.ts'
import { openRevocationWorker } from './revocation/open-revocation-worker.ts'
import type { RevocationInbox } from './revocation/revocation-inbox.ts'
import { listenOverZeromq } from './revocation/zeromq-listener.ts'

export interface RunningAgent {
  agentId: string
  /** 0 of an agent that listens nowhere. */
  port: number
  /** Resolves when all deliveries so far are worked off. */
  idle(): Promise<void>
  stop(): Promise<void>
  reload(): Promise<string>
  /** Of one that brings its evidence: what its work hangs on; null while it goes on. */
  stuck(): string | null
}

export interface AgentDependencies {
  /** TCTI in place of the environment's. */
  tcti?: string | undefined
  inbox?: RevocationInbox
  /** What tells the dates of certificates. */
  clock?: Pick<Clock, 'now'>
  /** Between two looks at the files of certificates. */
  lookMs?: number
}

/** Verifiers ask every few seconds: a connection must outlive several pauses. */
const KEEP_ALIVE_SECONDS = 120
/** A TPM that does not answer must not keep the agent from ending. */
const CLOSE_PATIENCE_MS = 2000

/**
 * Starts the agent in upstream's order (protocol 2.1): tmpfs, privileges, TPM, keys, registration; then it serves, or brings its evidence. Registered and serving when it returns.
 * @throws KeylimeError for whatever keeps it from starting; what was opened is closed then.
 */
export async function startAgent(settings: AgentSettings, logger: Logger, given: AgentDependencies = {}): Promise<RunningAgent> {
  for (const warning of settings.warnings) logger.warn(warning)
  const opened: (() => unknown)[] = []
  const close = async () => {
    for (const end of opened.reverse()) await end()
  }
  try {
    const onStop = (end: () => unknown) => void opened.push(end)
    const machine = prepareMachine(settings, logger, onStop)
    const { agentId, port, payloads, reload, stuck } = await startOn(machine, { settings, logger, given, onStop })
    return {
      agentId,
      port,
      idle: () => payloads.idle(),
      reload,
      stuck: stuck ?? (() => null),
      async stop() {
        await close()
        if (settings.values.unmount_secure && machine.secure.mountedByUs) machine.secure.unmount()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

interface Start {
  readonly settings: AgentSettings
  readonly logger: Logger
  readonly given: AgentDependencies
  onStop(end: () => unknown): void
}

/** All that needs no root: TPM, keys, registration, the API. */
async function startOn(machine: Machine, { settings, logger, given, onStop }: Start): Promise<Serving> {
  const { values, paths, keylimeDir } = settings
  for (const directory of [keylimeDir, machine.secure.directory]) await removeLeftovers(directory) // it has the lock of them
  const tpm = await openTpm({ tcti: given.tcti ?? settings.env['TCTI'] })
  onStop(() => tpm.close())
  const identity = await openIdentity(tpm, settings, logger)
  onStop(() => Promise.race([identity.keys.close(), sleep(CLOSE_PATIENCE_MS, undefined, { ref: false })]))
  const isUsual = [values.payload_key, values.server_key].every((file) => file === 'default' || file === '')
  const transport = await openTransportKey(
    { file: paths.payloadKey, password: values.payload_key_password.reveal() },
    isUsual ? { file: paths.serverKey, password: values.server_key_password.reveal() } : null,
  )
  const opened = { settings, logger, given, onStop, machine, identity, transport }
  return settings.push ? startBringing(opened, settings.push) : startListening(opened)
}

interface Opened extends Start {
  readonly machine: Machine
  readonly identity: AgentIdentity
  readonly transport: TransportKey
}

/** Nobody can call it: it brings its evidence. */
async function startBringing({ given, logger, ...opened }: Opened, push: PushSettings): Promise<Serving> {
  const { settings, machine, onStop } = opened
  const { agentId } = opened.identity
  const inbox = await openInbox({ given, logger, ...opened })
  const payloads = payloadReceiver(settings, machine, { agentId, inbox, allowed: true, logger }) // what comes is signed, and by TLS
  onStop(async () => {
    await payloads.stop()
    await inbox.close()
  })
  payloads.resume()
  const { reload, stuck } = await startPush({ ...opened, push, payloads, inbox, used: { clock: systemClock, ...given, logger } })
  return { agentId, port: 0, payloads, reload, stuck }
}

/** What runs when everything is open. */
interface Serving {
  readonly agentId: string
  readonly port: number
  readonly payloads: PayloadReceiver
  reload(): Promise<string>
  stuck?(): string | null
}

/** Where revocations go, whichever way they come. Who opens it closes it. */
async function openInbox({ settings, logger, given, onStop, machine, identity: { agentId } }: Opened): Promise<RevocationInbox> {
  const { values } = settings
  const inbox = given.inbox ?? openRevocationWorker({ settings, agentId, ...machine }, logger)
  if (values.enable_revocation_notifications) {
    const { revocation_notification_ip: host, revocation_notification_port: port } = values
    const zeromq = await listenOverZeromq({ host, port, inbox, logger })
    onStop(() => zeromq.close())
  }
  return inbox
}

async function startListening({ settings, logger, given, onStop, machine, identity, transport }: Opened): Promise<Serving> {
  const { values } = settings
  const { agentId } = identity
  const certificate = values.enable_agent_mtls ? await ownCertificate(settings, agentId, { clock: systemClock, ...given, logger }) : null
  if (!certificate) logger.warn('serving without TLS: anyone who can reach the port may ask for quotes')
  const inbox = await openInbox({ settings, logger, given, onStop, machine, identity, transport })
  const allowed = values.enable_agent_mtls || values.enable_insecure_payload
  const payloads = payloadReceiver(settings, machine, { agentId, inbox, allowed, logger })
  const register = (shown: ServerCertificate | null, registrarCa: readonly string[]) =>
    registerAtRegistrar({ settings, identity, certificate: shown?.certPem ?? null, registrarCa }, logger)
  await register(certificate, machine.trust.registrar)
  const { imaLog, bootLog, systemdLog, trust } = machine
  const { apiVersions, ak } = settings
  let upkeep: CertificateUpkeep | undefined
  const followAuthority = authorityFollower({ settings, logger, texts: trust.texts, reload: async () => void (await upkeep?.reload()) })
  const operators = new OperatorTrust(trust.operators)
  const sealed = new SealedDeliveries({
    agentId,
    keys: identity.keys,
    file: settings.paths.acceptedOrder,
    clock: systemClock,
    trust: () => operators.current(),
  })
  const opened = { agentId, apiVersions, ak, keys: identity.keys, transport, imaLog, bootLog, systemdLog, bootTime: readBootTime() }
  const server = await listen(
    { ...opened, payloads, sealed, requireSigned: values.require_signed_payload, inbox, followAuthority, logger },
    settings,
    certificate && trust.clients && { ...certificate, clients: trust.clients },
  )
  onStop(async () => {
    upkeep?.stop()
    await server.close()
    await payloads.stop()
    await inbox.close()
  })
  payloads.resume()
  logger.info(`agent ${agentId} serves on ${hostPort(values.ip, server.port)}`, {
    contact: hostPort(values.contact_ip, values.contact_port),
  })
  upkeep = keepAgentCertificates(
    settings,
    { clock: systemClock, ...given, logger },
    { agentId, certificate, server, operators, texts: trust.texts, register },
  )
  return { agentId, port: server.port, payloads, reload: upkeep.reload }
}

function payloadReceiver(
  { values, env }: AgentSettings,
  { secure }: Machine,
  given: { agentId: string; inbox: RevocationInbox; allowed: boolean; logger: Logger },
): PayloadReceiver {
  const names = {
    key: values.enc_keyname,
    payload: values.dec_payload_file,
    script: values.payload_script,
    extractZip: values.extract_payload_zip,
  }
  return new PayloadReceiver({
    ...given,
    secure,
    names,
    scriptTimeoutSeconds: values.payload_script_timeout,
    handoverSeconds: values.payload_script_handover,
    env,
  })
}

/** @param tls null for plain HTTP. */
function listen(context: AgentContext, settings: AgentSettings, tls: OwnTls | null): Promise<Listening> {
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
    ...(tls ? { tls: tlsOf(tls) } : {}),
  })
}
