import path from 'node:path'
import { hostPort } from '../../core/api/host-port.ts'
import { API_VERSIONS } from '../../core/api/versions.ts'
import { KeylimeError } from '../../core/errors.ts'
import { BOOT_POLICY_NAMES } from '../../core/measured-boot/boot-policy.ts'
import { systemClock } from '../../io/clock.ts'
import { databaseFile } from '../../io/db/open-database.ts'
import { openVerifierDatabase } from '../../io/db/verifier-database.ts'
import type { TlsIdentity } from '../../io/files/tls-identity.ts'
import type { BodyRoomBytes } from '../../io/http/answer-request.ts'
import { secureContext } from '../../io/http/api-client.ts'
import { serve } from '../../io/http/server.ts'
import { openWebhook } from '../../io/http/webhook.ts'
import type { Logger } from '../../io/log/logger.ts'
import { guardLoopDelay } from '../../io/loop-delay.ts'
import { openPublisher } from '../../io/zeromq/publisher.ts'
import { MAX_EVIDENCE_BODY, verifierRoutes } from './api/routes.ts'
import { assemble } from './assemble.ts'
import type { Sender } from './revocation/revocation-notifier.ts'
import { startWatchdog } from './rounds/watchdog.ts'
import { tlsIdentities } from './tls-identities.ts'
import { bootPolicyOf, severityOf, type VerifierSettings, type VerifierValues } from './verifier-settings.ts'

export interface RunningVerifier {
  port: number
  stop(): Promise<void>
}

/** Starts the verifier: opens its state, takes up every stored agent, serves the API. Serves when it returns; when it throws, nothing is left open. */
export async function startVerifier(settings: VerifierSettings, logger: Logger): Promise<RunningVerifier> {
  const opened: (() => unknown)[] = []
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    const port = await start(settings, logger, (end) => opened.push(end))
    return { port, stop: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** @param onStop what is opened says how it ends; the last is ended first. @returns the port. */
async function start(settings: VerifierSettings, logger: Logger, onStop: (end: () => unknown) => void): Promise<number> {
  const { values, keylimeDir } = settings
  checkSettings(settings, logger)
  const tls = await tlsIdentities(settings)
  const { client } = tls
  const { database, close } = await openVerifierDatabase(databaseFile(values.database_url, path.join(keylimeDir, 'cv_data.sqlite')))
  onStop(close)
  const senders = new Map<string, Sender>()
  const webhook = openWebhookOf(values, client)
  if (webhook) {
    onStop(webhook.close)
    senders.set('webhook', webhook.post)
  }
  const publisher = values.enabled_revocation_notifications.includes('zeromq') ? await openPublisher(values.zmq_ip, values.zmq_port) : null
  if (publisher) {
    onStop(() => publisher.close())
    senders.set('zeromq', (envelope) => publisher.publish(JSON.stringify(envelope)))
  }
  const context = secureContext({ cert: client.cert, key: client.key, ...(client.keyPassword ? { passphrase: client.keyPassword } : {}) })
  const { context: verifier, notifier, progress } = assemble(values, { database, context, senders, logger })
  onStop(() => {
    for (const agent of verifier.agents.all()) agent.connection.close()
    verifier.opener.close()
  })
  onStop(notifier.stop)
  onStop(progress.stop)
  onStop(verifier.loop.stop)
  await verifier.policyStore.sweep()
  await verifier.takeUp.all()
  await notifier.resume()
  const listening = await serve({
    host: values.ip,
    port: values.port,
    tls: { ...tls.server, requireCertificate: false },
    routes: verifierRoutes(verifier),
    versions: API_VERSIONS,
    bodyRoomBytes: bodyRoomOf(values),
    logger,
  })
  onStop(() => listening.close(values.shutdown_drain_timeout))
  onStop(guardLoopDelay(logger).stop)
  const watchdog = startWatchdog({ agents: verifier.agents, clock: systemClock, logger, quoteInterval: values.quote_interval })
  onStop(watchdog.stop)
  logger.info(`verifier serves on ${hostPort(values.ip, listening.port)}`, {
    agents: verifier.agents.size,
    quote_interval: values.quote_interval,
  })
  return listening.port
}

/** One largest request of an operator, besides many small ones; two of whoever submits evidence. */
const bodyRoomOf = (values: VerifierValues): BodyRoomBytes => ({ anonymous: 2 * MAX_EVIDENCE_BODY, certified: values.max_upload_size })

/** What cannot be used is told before anything is opened. */
function checkSettings({ values, warnings }: VerifierSettings, logger: Logger): void {
  for (const warning of warnings) logger.warn(warning)
  if (values.measured_boot_imports.length > 0)
    logger.warn(`measured_boot_imports is left aside: Python modules are not loaded; engines are ${BOOT_POLICY_NAMES.join(', ')}`)
  if (values.mode !== 'pull') throw new KeylimeError('config_invalid', `mode = ${values.mode}: only the pull model is served`)
  bootPolicyOf(values)
  severityOf(values)
}

function openWebhookOf(values: VerifierValues, client: TlsIdentity) {
  if (!values.enabled_revocation_notifications.includes('webhook')) return null
  if (values.webhook_url === '')
    throw new KeylimeError('config_invalid', 'webhook is enabled, but webhook_url is empty', { hint: 'set webhook_url in [revocations]' })
  return openWebhook({ url: values.webhook_url, ...client, timeoutSeconds: values.request_timeout })
}
