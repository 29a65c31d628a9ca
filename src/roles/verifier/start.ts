import path from 'node:path'
import { ensureTlsDirectory } from '../../authority/tls-directory.ts'
import { hostPort } from '../../core/api/host-port.ts'
import { API_VERSIONS } from '../../core/api/versions.ts'
import type { AgentTiming } from '../../core/attestation/agent-state.ts'
import { isPolled } from '../../core/attestation/operational-state.ts'
import { causeChain, KeylimeError } from '../../core/errors.ts'
import { BOOT_POLICY_NAMES, type BootPolicyName, isBootPolicyName } from '../../core/measured-boot/boot-policy.ts'
import { KIND_NAMES } from '../../core/policy/merge-policies.ts'
import { dangerText } from '../../core/policy/policy-dangers.ts'
import type { SeverityPolicy } from '../../core/verdict/severity.ts'
import { systemClock } from '../../io/clock.ts'
import { FAILED_ROUND_TABLES } from '../../io/db/failed-round-store.ts'
import { databaseFile, openDatabase } from '../../io/db/open-database.ts'
import { POLICY_TABLES, policyStore } from '../../io/db/policy-store.ts'
import { REVOCATION_TABLES, revocationStore } from '../../io/db/revocation-store.ts'
import { AGENT_TABLES, verifierStore } from '../../io/db/verifier-store.ts'
import { loadTlsIdentity, type TlsIdentity } from '../../io/files/tls-identity.ts'
import { secureContext } from '../../io/http/api-client.ts'
import { serve } from '../../io/http/server.ts'
import { openWebhook } from '../../io/http/webhook.ts'
import type { Logger } from '../../io/log/logger.ts'
import { openPublisher } from '../../io/zeromq/publisher.ts'
import { createAgentOpener } from './agents/agent-opener.ts'
import { createAgentTable } from './agents/agent-table.ts'
import { verifierRoutes } from './api/routes.ts'
import type { VerifierContext } from './api/verifier-context.ts'
import { createPolicyBook } from './policies/policy-book.ts'
import { createRevocationNotifier, type Sender } from './revocation/revocation-notifier.ts'
import { createAttestationLoop } from './rounds/attestation-loop.ts'
import { startWatchdog } from './rounds/watchdog.ts'
import type { VerifierSettings, VerifierValues } from './verifier-settings.ts'

export interface RunningVerifier {
  port: number
  stop(): Promise<void>
}

const MIGRATIONS = [AGENT_TABLES, POLICY_TABLES, REVOCATION_TABLES, FAILED_ROUND_TABLES]

/** Starts the verifier: opens its state, takes up every stored agent, serves the API. Serves when it returns. */
export async function startVerifier(given: VerifierSettings, logger: Logger): Promise<RunningVerifier> {
  const { values, warnings, keylimeDir } = given
  for (const warning of warnings) logger.warn(warning)
  if (values.measured_boot_imports.length > 0)
    logger.warn(`measured_boot_imports is left aside: Python modules are not loaded; engines are ${BOOT_POLICY_NAMES.join(', ')}`)
  if (values.mode !== 'pull') throw new KeylimeError('config_invalid', `mode = ${values.mode}: only the pull model is served`)
  bootPolicyOf(values) // a name that is not known is told before anything is opened
  const tls = await tlsIdentities(given)
  const { client } = tls
  const context = secureContext({ cert: client.cert, key: client.key, ...(client.keyPassword ? { passphrase: client.keyPassword } : {}) })
  const webhook = openWebhookOf(values, client)
  const publisher = values.enabled_revocation_notifications.includes('zeromq') ? await openPublisher(values.zmq_ip, values.zmq_port) : null
  const file = databaseFile(values.database_url, path.join(keylimeDir, 'cv_data.sqlite'))
  const database = await openDatabase(file, 'verifier', MIGRATIONS).catch((error) => {
    publisher?.close()
    throw error
  })
  const senders = new Map<string, Sender>()
  if (webhook) senders.set('webhook', webhook.post)
  if (publisher) senders.set('zeromq', (envelope) => publisher.publish(JSON.stringify(envelope)))
  const verifier = assemble(values, logger, { database: database as never, context, senders })
  const listening = await serve({
    host: values.ip,
    port: values.port,
    tls: { ...tls.server, requireCertificate: false },
    routes: verifierRoutes(verifier),
    versions: API_VERSIONS,
    maxBodyBytes: values.max_upload_size,
    logger,
  }).catch(async (error) => {
    await Promise.all([verifier.loop.stop(), verifier.notifier.stop()])
    publisher?.close()
    await database.destroy()
    throw error
  })
  await takeUpAgents(verifier)
  await verifier.notifier.resume()
  const watchdog = startWatchdog({ agents: verifier.agents, clock: systemClock, logger, quoteInterval: values.quote_interval })
  logger.info(`verifier serves on ${hostPort(values.ip, listening.port)}`, {
    agents: verifier.agents.size,
    quote_interval: values.quote_interval,
  })
  return {
    port: listening.port,
    async stop() {
      watchdog.stop()
      await listening.close(values.shutdown_drain_timeout)
      await verifier.loop.stop()
      await verifier.notifier.stop()
      await webhook?.close()
      publisher?.close()
      for (const agent of verifier.agents.all()) agent.connection.close()
      verifier.opener.close()
      await database.destroy()
    },
  }
}

interface Opened {
  database: Parameters<typeof verifierStore>[0]
  context: Parameters<typeof createAgentOpener>[0]['context']
  senders: ReadonlyMap<string, Sender>
}

function assemble(values: VerifierValues, logger: Logger, { database, context, senders }: Opened): VerifierContext {
  const agents = createAgentTable()
  const store = verifierStore(database, values.evidence_total_size)
  const revocations = revocationStore(database)
  const notifier = createRevocationNotifier({
    agents,
    store: revocations,
    clock: systemClock,
    logger,
    tellAgents: values.enabled_revocation_notifications.includes('agent'),
    senders,
    retrySeconds: values.revocation_retry_seconds,
  })
  const loop = createAttestationLoop({
    agents,
    store,
    clock: systemClock,
    logger,
    timing: timingOf(values),
    severity: severityOf(values),
    evaluateBootAlways: values.measured_boot_evaluate === 'always',
    evidenceRules: {
      bootPolicy: values.measured_boot_policy_name,
      failOnViolations: values.fail_on_violations,
      maxBytes: values.evidence_max_size,
    },
    notifier,
  })
  const opener = createAgentOpener({ context, timeoutSeconds: values.request_timeout, quoteInterval: values.quote_interval })
  const settings = {
    verifierId: values.uuid,
    quoteInterval: values.quote_interval,
    agentMtls: values.enable_agent_mtls,
    runtimePolicyRules: { failOnViolations: values.fail_on_violations, requireSigned: values.require_allow_list_signatures },
    bootPolicy: bootPolicyOf(values),
  }
  return {
    agents,
    store,
    revocations,
    notifier,
    policies: createPolicyBook(policyStore(database), {
      bootPolicy: settings.bootPolicy,
      rules: settings.runtimePolicyRules,
      warn: ({ kind, name, dangers }) =>
        logger.warn(`${KIND_NAMES[kind]} ${name} lets in what it should keep out: ${dangerText(dangers)}`, { warnings: dangers }),
    }),
    loop,
    opener,
    clock: systemClock,
    logger,
    settings,
  }
}

function openWebhookOf(values: VerifierValues, client: TlsIdentity) {
  if (!values.enabled_revocation_notifications.includes('webhook')) return null
  if (values.webhook_url === '')
    throw new KeylimeError('config_invalid', 'webhook is enabled, but webhook_url is empty', { hint: 'set webhook_url in [revocations]' })
  return openWebhook({ url: values.webhook_url, ...client, timeoutSeconds: values.request_timeout })
}

function bootPolicyOf(values: VerifierValues): BootPolicyName {
  const name = values.measured_boot_policy_name
  if (isBootPolicyName(name)) return name
  throw new KeylimeError('config_invalid', `measured_boot_policy_name = ${name} is not known here`, {
    hint: `known are ${BOOT_POLICY_NAMES.join(', ')}`,
  })
}

const timingOf = (values: VerifierValues): AgentTiming => ({
  quoteInterval: values.quote_interval,
  retryInterval: values.retry_interval,
  exponentialBackoff: values.exponential_backoff,
  maxRetries: values.max_retries,
})

function severityOf(values: VerifierValues): SeverityPolicy {
  const rules = values.severity_policy.map(({ event_id, severity_label }) => {
    try {
      return { eventId: new RegExp(`^(?:${event_id})$`, 's'), label: severity_label }
    } catch (cause) {
      throw new KeylimeError('config_invalid', `severity_policy: "${event_id}" is no regular expression`, { cause })
    }
  })
  return { labels: values.severity_labels, rules }
}

async function tlsIdentities({ values, ca, keylimeDir }: VerifierSettings) {
  const serverKeyPassword = values.server_key_password.reveal()
  const clientKeyPassword = values.client_key_password.reveal()
  const directory = await ensureTlsDirectory({
    role: 'verifier',
    keylimeDir,
    tlsDir: values.tls_dir,
    names: [values.ip, ...values.cert_subject_alternative_names],
    caPassword: ca.password,
    settings: ca.settings,
    serverKeyPassword,
    clientKeyPassword,
    now: systemClock.now,
  })
  const shared = { keylimeDir, directory }
  const server = {
    side: 'server',
    cert: values.server_cert,
    key: values.server_key,
    keyPassword: serverKeyPassword,
    trusted: values.trusted_client_ca,
  } as const
  const client = {
    side: 'client',
    cert: values.client_cert,
    key: values.client_key,
    keyPassword: clientKeyPassword,
    trusted: values.trusted_server_ca,
  } as const
  return { server: await loadTlsIdentity({ ...shared, ...server }), client: await loadTlsIdentity({ ...shared, ...client }) }
}

/** First requests of many stored agents are spread over one interval: no thundering herd at the start. */
async function takeUpAgents({ agents, store, policies, loop, opener, logger, settings }: VerifierContext): Promise<void> {
  const stored = await store.load(settings.verifierId)
  const spreadMs = Math.min(settings.quoteInterval * 1000, stored.length * 2)
  for (const [i, record] of stored.entries()) {
    const { agentId } = record.enrolment
    try {
      const agent = opener.open(record, await policies.policyOf(record.enrolment))
      agents.add(agent)
      if (isPolled(record.state.operational)) await loop.begin(agent, (i / stored.length) * spreadMs)
      else agent.state = record.state
    } catch (error) {
      logger.error(`agent ${agentId} cannot be taken up and is not attested: ${causeChain(error).join(': ')}`)
    }
  }
}
