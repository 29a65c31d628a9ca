import path from 'node:path'
import { hostPort } from '../../core/api/host-port.ts'
import { API_VERSIONS, PUSH_API_VERSION } from '../../core/api/versions.ts'
import type { RateLimit } from '../../core/concurrency/rate-limiter.ts'
import { type Clock, systemClock } from '../../io/clock.ts'
import { databasePlace, markPlace } from '../../io/db/open-database.ts'
import { recordMark } from '../../io/db/record-mark.ts'
import { seamOf } from '../../io/db/seam.ts'
import { sweepRevocations } from '../../io/db/sweep-revocations.ts'
import { tryWriting } from '../../io/db/try-writing.ts'
import { untoldEvents } from '../../io/db/untold-events.ts'
import { openVerifierDatabase } from '../../io/db/verifier-database.ts'
import type { TlsIdentity } from '../../io/files/tls-identity.ts'
import { giveBackFreedMemory } from '../../io/freed-memory.ts'
import { clientContext } from '../../io/http/api-client.ts'
import type { ClientContext } from '../../io/http/pinned-connector.ts'
import type { BodyRoomBytes } from '../../io/http/request-bounds.ts'
import { type Listening, type ServeOptions, serve } from '../../io/http/server.ts'
import { openWebhook, type Webhook } from '../../io/http/webhook.ts'
import { openJudging } from '../../io/judging/open-judging.ts'
import type { Logger } from '../../io/log/logger.ts'
import { guardLoopDelay } from '../../io/loop-delay.ts'
import { type CertificateUpkeep, keepCertificates, type UpkeepOptions } from '../../io/service/certificate-upkeep.ts'
import type { Service } from '../../io/service/run-service.ts'
import { tellForeignDirectory } from '../../io/service/tell-foreign-directory.ts'
import { VERSION } from '../../io/service/version.ts'
import { openPublisher } from '../../io/zeromq/publisher.ts'
import { MAX_EVIDENCE_BODY, verifierRoutes } from './api/routes.ts'
import { type Assembled, assemble, type Opened } from './assemble.ts'
import { durableAnswers } from './audit/durable-answers.ts'
import { refusedPeer } from './audit/operator-of.ts'
import { startEvents } from './audit/start-events.ts'
import { type AuthorityHolder, isSameAuthorities } from './authorities/authorities.ts'
import { type Aging, keepYoung } from './keep-young.ts'
import { openVerifierMetrics } from './metrics/open-metrics.ts'
import { openNotifierKey } from './revocation/notifier-key.ts'
import type { Sender } from './revocation/revocation-notifier.ts'
import { heedPast } from './rounds/heed-past.ts'
import { startLagWatch } from './rounds/lag-watch.ts'
import { startSilenceWatch } from './rounds/silence-watch.ts'
import { startWatchdog, type Watchdog } from './rounds/watchdog.ts'
import { renewOwn, type VerifierTls, verifierTls } from './tls-identities.ts'
import { checkTogether, judgingRulesOf, timingOf, type VerifierSettings, type VerifierValues } from './verifier-settings.ts'

export interface RunningVerifier extends Service {
  port: number
  /** Of the listener for figures; null where there is none. */
  metricsPort: number | null
  reload(): Promise<string>
  stuck(): string | null
  isIdle(): boolean
}

export interface VerifierDependencies {
  /** What tells the dates of certificates. */
  clock?: Pick<Clock, 'now'>
  /** Between two looks at the files of certificates. */
  lookMs?: number
  /** How often the registrar is asked where a machine is that cannot be reached. */
  askAddresses?: RateLimit
}

/** What no operator told, such as a verdict, is counted beside the database as soon. */
const MARK_MS = 10_000
/** Behind the last requests: V that is on its way is waited for, and then everything is stored. A server that answers no more has no longer than this. */
const LAST_WORDS_MS = 10_000
/** Of one machine once a minute, of all together two a second. */
const ASK_ADDRESSES: RateLimit = { ofPeer: { perSecond: 1 / 60, burst: 1 }, ofAll: { perSecond: 2, burst: 20 } }

/** Starts the verifier: opens its state, takes up every stored agent, serves the API. Serves when it returns; when it throws, nothing is left open. */
export async function startVerifier(
  settings: VerifierSettings,
  logger: Logger,
  given: VerifierDependencies = {},
): Promise<RunningVerifier> {
  const opened: (() => unknown)[] = []
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    return { ...(await start(settings, { clock: systemClock, ...given, logger }, (end) => opened.push(end))), stop: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** What is opened says how it ends; the last is ended first. */
type OnStop = (end: () => unknown) => void

async function start(
  settings: VerifierSettings,
  used: UpkeepOptions & VerifierDependencies,
  onStop: OnStop,
): Promise<Omit<RunningVerifier, 'stop'>> {
  const { values, keylimeDir } = settings
  const { logger, askAddresses = ASK_ADDRESSES } = used
  checkSettings(settings, logger)
  tellForeignDirectory(keylimeDir, logger)
  const tls = await verifierTls(settings, used)
  const file = path.join(keylimeDir, 'cv_data.sqlite')
  const place = databasePlace(values, file)
  const { database, shared, schema, mark, close } = await openVerifierDatabase({ place, marked: markPlace(place, file), name: values.uuid })
  onStop(close)
  const events = await startEvents({ values, keylimeDir, clock: systemClock, logger })
  onStop(events.stop)
  if (schema.from > 0 && schema.from < schema.to)
    events.stream.raise({ type: 'database_migrated', from_version: schema.from, to_version: schema.to })
  const metrics = await openVerifierMetrics({ values, events: events.stream, now: () => used.clock.now(), logger })
  onStop(metrics.stop)
  const judging = openJudging({ rules: judgingRulesOf(values), workers: values.judging_workers, budgetSeconds: values.judging_timeout })
  onStop(judging.stop)
  const notifierKey = await openNotifierKey(keylimeDir, systemClock.now())
  const identity = { current: tls.client }
  const { senders, webhook } = await openSenders(values, tls.client, onStop)
  const context: ClientContext = clientContext(tls.client)
  const authorities = { current: tls.authorities }
  const { figures } = metrics
  const opened = { database, shared, mark, context, senders, judging, events, notifierKey, authorities, askAddresses, figures, logger }
  const verifier = assemble(values, { ...opened, client: () => identity.current })
  const record = recordMark(mark, logger)
  const marking = setInterval(() => void record(), MARK_MS).unref()
  onStop(() => clearInterval(marking))
  await run(verifier, onStop, () => heedPast({ mark, store: verifier.context.store, untold: untoldEvents(database), events, logger }))
  onStop(keepYoung(agingOf(values, opened, verifier.context.history)))
  const routes = durableAnswers(verifierRoutes(verifier.context), () => Promise.all([record(), events.flush()]))
  const listening = await serve(listenerOf(values, verifier.context, { routes: figures.metered(routes), tls: tls.server }))
  const { agents, leasing, loop, opener, push } = verifier.context
  onStop(() => listening.close(values.shutdown_drain_timeout))
  onStop(push.stop) // before: what waits itself is not waited for
  for (const { stop } of [guardLoopDelay(logger, figures.loopDelay), giveBackFreedMemory()]) onStop(stop)
  const watchdog = watchAgents(values, verifier.context, onStop)
  const address = hostPort(values.ip, listening.port)
  events.stream.raise({ type: 'verifier_started', version: VERSION, verifier_id: values.uuid, address, agents: agents.size })
  onStop(() => events.stream.raise({ type: 'verifier_stopped' }))
  const running = { tls, listening, context, identity, webhook, authorities }
  const upkeep = keepVerifierCertificates(settings, used, running)
  onStop(upkeep.stop)
  metrics.watch({
    ...{ agents, loop: loop.load, judging: judging.load, connections: () => opener.figures },
    ...{ overdue: () => watchdog.overdue, pushDelay: () => push.crowd.delay, certificates: () => running.tls.ends },
    ...{ leases: () => leasing.figures, isDown: () => leasing.isDown, database: () => seamOf(database).load() },
    probe: { isServer: shared !== null, tryWriting: () => tryWriting(database) },
  })
  onStop(metrics.stopping)
  onStop(() => leaveInTime(database, values))
  return { port: listening.port, metricsPort: metrics.port, reload: upkeep.reload, stuck: watchdog.stuck, isIdle: () => agents.size === 0 }
}

const leaveInTime = (database: Opened['database'], { shutdown_drain_timeout: drain }: VerifierValues) =>
  seamOf(database).leaveWithin(drain * 1000 + LAST_WORDS_MS)

const listenerOf = (
  values: VerifierValues,
  { events, push, logger }: Assembled['context'],
  served: Pick<ServeOptions, 'routes' | 'tls'>,
): ServeOptions => ({
  host: values.ip,
  port: values.port,
  ...served,
  onRefused: ({ method, route, why, ...asked }) => events.raise({ type: 'request_refused', method, route, why, peer: refusedPeer(asked) }),
  versions: [...API_VERSIONS, PUSH_API_VERSION],
  agentOf: push.sessions.agentOf,
  bodyRoomBytes: bodyRoomOf(values),
  logger,
})

/** Nobody is forgotten, and nobody who fell silent is called well. */
function watchAgents(values: VerifierValues, { agents, events, loop, push, logger }: Assembled['context'], onStop: OnStop): Watchdog {
  const watchdog = startWatchdog({ agents, clock: systemClock, logger, quoteInterval: values.quote_interval })
  onStop(watchdog.stop)
  onStop(startSilenceWatch({ agents, loop, clock: systemClock, timing: timingOf(values), troubleOf: push.attestations.troubleOf }).stop)
  onStop(startLagWatch({ load: loop.load, events, quoteInterval: values.quote_interval }).stop)
  return watchdog
}

const agingOf = (values: VerifierValues, { database, logger }: Pick<Opened, 'database' | 'logger'>, history: Aging['history']): Aging => ({
  ...{ history, clock: systemClock, logger },
  retrySeconds: values.revocation_retry_seconds,
  sweepRevocations: (swept, signal) => sweepRevocations(database, swept, signal),
})

interface Renewable {
  /** The last that was taken. */
  tls: VerifierTls
  listening: Listening
  context: ClientContext
  identity: { current: TlsIdentity }
  webhook: Webhook | null
  authorities: AuthorityHolder
}

/** Takes all certificates of the files, or none: when they change, and on SIGHUP. */
function keepVerifierCertificates(settings: VerifierSettings, used: UpkeepOptions, running: Renewable): CertificateUpkeep {
  const { listening, context, webhook } = running
  async function reload(): Promise<string> {
    const fresh = await verifierTls(settings, used)
    const forAgents = clientContext(fresh.client)
    listening.renewTls(fresh.server)
    Object.assign(context, forAgents)
    running.identity.current = fresh.client
    webhook?.renew(fresh.client)
    if (!isSameAuthorities(running.tls.authorities, fresh.authorities)) running.authorities.current = fresh.authorities // agents are told after their next round
    running.tls = fresh
    return 'certificates and trusted CAs are read again, with their revocation lists; they count for new connections'
  }
  const duties = { renew: () => renewOwn(settings, used), files: () => running.tls.files, reload, dates: () => running.tls.dates() }
  return keepCertificates(duties, used)
}

/** Attests everything that is stored, and tells of what was left untold: before anybody can ask for more. @param heed looks at the database before it counts. */
async function run({ context, notifier, progress }: Assembled, onStop: OnStop, heed: () => Promise<void>): Promise<void> {
  onStop(() => {
    for (const agent of context.agents.all()) agent.connection?.close()
    context.opener.close()
  })
  onStop(notifier.stop)
  onStop(progress.stop)
  onStop(context.loop.stop)
  onStop(context.push.stop) // again before the listener, once there is one
  await heed()
  await context.policyStore.sweep()
  await context.mailboxes.sweep()
  await context.history.sweep()
  onStop(context.leasing.stop)
  await context.leasing.start()
  void notifier.resume()
}

/** Receivers of revocations that are no agents. */
async function openSenders(values: VerifierValues, client: TlsIdentity, onStop: OnStop) {
  const senders = new Map<string, Sender>()
  const webhook = openWebhookOf(values, client)
  if (webhook) {
    onStop(webhook.close)
    senders.set('webhook', webhook.post)
  }
  if (values.enabled_revocation_notifications.includes('zeromq')) {
    const publisher = await openPublisher(values.zmq_ip, values.zmq_port)
    onStop(() => publisher.close())
    senders.set('zeromq', (envelope) => publisher.publish(JSON.stringify(envelope)))
  }
  return { senders, webhook }
}

/** One largest request of an operator, besides many small ones; two of whoever submits evidence; the largest lists of some machines at once. */
const bodyRoomOf = (values: VerifierValues): BodyRoomBytes => ({
  anonymous: 2 * MAX_EVIDENCE_BODY,
  certified: values.max_upload_size,
  agents: { all: LARGE_BODIES * values.max_quote_size, each: values.max_quote_size },
})

const LARGE_BODIES = 4

/** What cannot be used is told before anything is opened. */
function checkSettings({ values, warnings }: VerifierSettings, logger: Logger): void {
  for (const warning of warnings) logger.warn(warning)
  checkTogether(values)
}

function openWebhookOf(values: VerifierValues, client: TlsIdentity) {
  if (!values.enabled_revocation_notifications.includes('webhook')) return null
  const { webhook_url: url, webhook_token: token, webhook_proxy: proxy } = values
  return openWebhook({ url, token: token.reveal(), proxy, ...client, timeoutSeconds: values.request_timeout })
}
