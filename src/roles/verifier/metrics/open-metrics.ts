import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { type StateWord, stateWord } from '../../../core/attestation/state-word.ts'
import { comesBy } from '../../../core/attestation/stored-agent.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import { EVENT_TYPES } from '../../../core/events/verifier-event.ts'
import type { PoolLoad } from '../../../io/db/postgres-pool-load.ts'
import type { CertificateEnd } from '../../../io/files/identity-dates.ts'
import type { ConnectionFigures } from '../../../io/http/agent-connection.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { addCommitMetrics, type CommitMeter, type Probe } from '../../../io/metrics/commit-metrics.ts'
import { addDatabaseMetrics } from '../../../io/metrics/database-metrics.ts'
import { meteredRoutes } from '../../../io/metrics/metered-routes.ts'
import { createMetrics, DURATIONS, type Metrics } from '../../../io/metrics/metrics.ts'
import { addProcessMetrics } from '../../../io/metrics/process-metrics.ts'
import { serveMetrics } from '../../../io/metrics/serve-metrics.ts'
import { VERSION } from '../../../io/service/version.ts'
import type { PoolStats } from '../../../io/workers/worker-pool.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { LeaseFigures } from '../leases/leasing.ts'
import type { LoopLoad } from '../rounds/attestation-loop.ts'
import { ROUND_OUTCOMES, ROUND_STAGES, type RoundMeter, type RoundOutcome } from '../rounds/round-meter.ts'
import { addLeases } from './lease-metrics.ts'
import { whyNotReady } from './readiness.ts'
import { COMMITS, type Commit, NO_FIGURES, timedStores, type VerifierFigures } from './verifier-figures.ts'

/** What is looked at when somebody asks. */
export interface Watched {
  agents: Pick<AgentTable, 'all'>
  /** How busy attestation is. */
  loop(): LoopLoad
  judging(): PoolStats
  connections(): ConnectionFigures
  certificates(): readonly CertificateEnd[]
  /** Machines that were not judged in time. */
  overdue(): number
  /** Seconds by which machines that bring their evidence are told to come later than configured. */
  pushDelay(): number
  leases(): LeaseFigures
  /** Connections to a database server; null for a file. */
  database(): PoolLoad | null
  probe: Probe
  /** See `Leasing`. */
  isDown(): boolean
}

/** Figures of a running verifier, and the listener that shows them. */
export interface VerifierMetrics {
  figures: VerifierFigures
  /** The real port; null where there is no listener. */
  port: number | null
  /** From now on it attests, and is ready. */
  watch(watched: Watched): void
  /** It is about to stop: whoever sends requests here is told first. */
  stopping(): void
  stop(): Promise<void>
}

export interface MetricsOptions {
  values: { metrics_ip: string; metrics_port: number; quote_interval: number }
  events: Pick<EventStream, 'subscribe'>
  now(): number
  logger: Logger
}

const OFF: VerifierMetrics = { figures: NO_FIGURES, port: null, watch() {}, stopping() {}, async stop() {} }

/** Serves `/metrics`, `/healthz` and `/readyz` where `metrics_ip` says so; otherwise nothing is counted. @throws KeylimeError `address_in_use`. */
export async function openVerifierMetrics({ values, events, now, logger }: MetricsOptions): Promise<VerifierMetrics> {
  const { metrics_ip: host, metrics_port: port, quote_interval: quoteInterval } = values
  if (host === '') return OFF
  const metrics = await createMetrics('keylime_verifier')
  const state: State = { watched: null, isStopping: false }
  addProcessMetrics(metrics)
  const help = 'counters of many machines, a state, an enrolment, a policy, who knows of a revocation'
  const commits = addCommitMetrics(metrics, COMMITS, help)
  const figures = figuresOf(metrics, commits)
  countEvents(metrics, events)
  addGauges(metrics, state)
  addLeases(metrics, () => state.watched?.leases() ?? null)
  addDatabaseMetrics(metrics, () => state.watched?.database() ?? null)
  const notReady = async () =>
    whyNotReady({
      serves: state.watched === null ? null : !state.isStopping,
      overdue: state.watched?.overdue() ?? 0,
      lateSeconds: (state.watched?.loop().lateMs ?? 0) / 1000,
      quoteInterval,
      unwritable: await commits.unwritable(state.watched?.probe ?? null),
      isDown: state.watched?.isDown() ?? false,
      ended: (state.watched?.certificates() ?? []).filter(({ notAfter }) => notAfter < now()).map(({ certificate }) => certificate),
    })
  const listening = await serveMetrics({ host, port, metrics, notReady, logger })
  return {
    figures,
    port: listening.port,
    watch(watched) {
      state.watched = watched
    },
    stopping() {
      state.isStopping = true
    },
    stop: () => listening.close(0),
  }
}

interface State {
  /** Null until it attests. */
  watched: Watched | null
  isStopping: boolean
}

function figuresOf(metrics: Metrics, commits: CommitMeter<Commit>): VerifierFigures {
  const loopDelay = metrics.tallies(
    { name: 'event_loop_delay_seconds', help: 'How long the event loop was held up, the worst of each tenth of a second.' },
    ['all'],
    DURATIONS,
  )
  return {
    meter: roundMeter(metrics),
    timed: (stores) => timedStores(stores, commits.timed),
    metered: (routes) => meteredRoutes(routes, metrics),
    loopDelay: (ms) => loopDelay.all.add(ms / 1000),
  }
}

const WAYS = ['pull', 'push'] as const

function roundMeter(metrics: Metrics): RoundMeter {
  const fresh = () => Object.fromEntries(ROUND_OUTCOMES.map((result) => [result, 0])) as Record<RoundOutcome, number>
  const counts = { pull: fresh(), push: fresh() }
  metrics.total(
    { name: 'attestations_total', help: 'Attestations, by result and by who began them.', labels: ['way', 'result'] },
    (total) => {
      for (const way of WAYS) for (const result of ROUND_OUTCOMES) total.inc({ way, result }, counts[way][result])
    },
  )
  const stages = metrics.tallies(
    {
      name: 'attestation_stage_duration_seconds',
      help: 'Time of a stage of an attestation: asking and answer, judging, storing what follows.',
      labels: ['stage'],
    },
    ROUND_STAGES,
    DURATIONS,
  )
  const lag = metrics.tallies({ name: 'attestation_lag_seconds', help: 'How late after its time a machine was asked.' }, ['all'], DURATIONS)
  return {
    began: (lateMs) => lag.all.add(lateMs / 1000),
    stage: (stage, ms) => stages[stage].add(ms / 1000),
    ended(outcome, brought) {
      counts[brought ? 'push' : 'pull'][outcome]++
    },
  }
}

/** Those that were held back, because they were too many, are counted when the next one is told. */
function countEvents(metrics: Metrics, events: MetricsOptions['events']): void {
  const total = metrics.counter({ name: 'events_total', help: 'Events, by their type: those of the audit log.', labels: ['event'] })
  for (const event of EVENT_TYPES) total.inc({ event }, 0)
  events.subscribe('metrics', ({ event }) => {
    const suppressed = 'suppressed' in event ? (event.suppressed ?? 0) : 0
    total.inc({ event: event.type }, 1 + (event.type === 'verifier_stopped' ? 0 : suppressed))
  })
}

function addGauges(metrics: Metrics, state: State): void {
  const gauge = (name: string, help: string, read: (watched: Watched) => number) =>
    metrics.gauge({ name, help }, (own) => void (state.watched && own.set(read(state.watched))))
  metrics.gauge({ name: 'build_info', help: 'Always 1; the label has the version.', labels: ['version'] }, (own) =>
    own.set({ version: VERSION }, 1),
  )
  metrics.gauge({ name: 'agents', help: 'Machines, by state and by who begins an attestation.', labels: ['state', 'way'] }, (own) => {
    for (const word of SHOWN) for (const way of WAYS) own.set({ state: word, way }, 0)
    for (const agent of state.watched?.agents.all() ?? []) own.inc({ state: wordOf(agent), way: comesBy(agent.enrolment) })
  })
  gauge('lag_seconds', 'How long the machine that has waited longest has been due.', ({ loop }) => loop().lateMs / 1000)
  gauge('attestations_in_flight', 'Attestations that are under way.', ({ loop }) => loop().inFlight)
  gauge('agents_overdue', 'Machines that were not judged in time, as the watchdog sees it.', ({ overdue }) => overdue())
  gauge('push_delay_seconds', 'How much later than the interval machines that bring their evidence are told to come.', ({ pushDelay }) =>
    pushDelay(),
  )
  gauge('agent_connections', 'Open connections to machines.', ({ connections }) => connections().open)
  gauge('judging_workers', 'Worker threads for what takes long.', ({ judging }) => judging().workers)
  gauge('judging_workers_busy', 'Of these, busy ones.', ({ judging }) => judging().busy)
  gauge('judging_jobs_queued', 'Jobs that wait for a worker thread.', ({ judging }) => judging().queued)
  metrics.total({ name: 'agent_handshakes_total', help: 'Connections to machines that were opened.', labels: ['kind'] }, (total) => {
    const { opened, resumed } = state.watched?.connections() ?? { opened: 0, resumed: 0 }
    total.inc({ kind: 'full' }, opened - resumed)
    total.inc({ kind: 'resumed' }, resumed)
  })
  metrics.gauge(
    { name: 'certificate_expiry_timestamp_seconds', help: 'When a certificate ends, in seconds since the epoch.', labels: ['certificate'] },
    (own) => {
      for (const { certificate, notAfter } of state.watched?.certificates() ?? []) own.set({ certificate }, notAfter / 1000)
    },
  )
}

/** States that a verifier knows. */
const SHOWN: readonly StateWord[] = ['attested', 'failed', 'unreachable', 'waiting', 'stopped']

const wordOf = ({ state, progress, unstored }: ManagedAgent): StateWord =>
  stateWord({
    operational_state: unstored === null ? state.operational : OPERATIONAL_STATE.INVALID_QUOTE,
    last_event_id: state.failures[0]?.eventId,
    attestation_count: progress.attestationCount,
  })
