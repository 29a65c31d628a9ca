import type { PoolLoad } from '../../io/db/postgres-pool-load.ts'
import type { RegistrarStore } from '../../io/db/registrar-store.ts'
import type { CertificateEnd } from '../../io/files/identity-dates.ts'
import type { Route } from '../../io/http/route.ts'
import type { Logger } from '../../io/log/logger.ts'
import { addCommitMetrics, type CommitMeter, type Probe } from '../../io/metrics/commit-metrics.ts'
import { addDatabaseMetrics } from '../../io/metrics/database-metrics.ts'
import { meteredRoutes } from '../../io/metrics/metered-routes.ts'
import { createMetrics } from '../../io/metrics/metrics.ts'
import { addProcessMetrics } from '../../io/metrics/process-metrics.ts'
import { serveMetrics } from '../../io/metrics/serve-metrics.ts'
import { VERSION } from '../../io/service/version.ts'

/** Figures of a running registrar, and the listener that shows them. */
export interface RegistrarMetrics {
  /** The real port; null where there is no listener. */
  port: number | null
  /** The same routes, whose answers are counted. */
  metered(routes: readonly Route[]): readonly Route[]
  /** It serves; undefined when it is stopping. */
  ready(certificates: (() => readonly CertificateEnd[]) | undefined): void
  /** The same store, whose commits are timed. */
  timed(store: RegistrarStore): RegistrarStore
  stop(): Promise<void>
}

/** What is written: what machines ask for, and what operators do. */
const COMMITS = ['registration', 'command'] as const

const OFF: RegistrarMetrics = { port: null, metered: (routes) => routes, timed: (store) => store, ready() {}, async stop() {} }

/** Serves `/metrics`, `/healthz` and `/readyz` where `metrics_ip` says so; otherwise nothing is counted. @param looked `database`: connections to its server, null for a file. @throws KeylimeError `address_in_use`. */
export async function openRegistrarMetrics(
  { metrics_ip: host, metrics_port: port }: { metrics_ip: string; metrics_port: number },
  { now, database, probe }: { now: () => number; database: () => PoolLoad | null; probe: Probe },
  logger: Logger,
): Promise<RegistrarMetrics> {
  if (host === '') return OFF
  const metrics = await createMetrics('keylime_registrar')
  let certificates: (() => readonly CertificateEnd[]) | null | undefined = null
  addProcessMetrics(metrics)
  addDatabaseMetrics(metrics, database)
  metrics.gauge({ name: 'build_info', help: 'Always 1; the label has the version.', labels: ['version'] }, (own) =>
    own.set({ version: VERSION }, 1),
  )
  metrics.gauge(
    { name: 'certificate_expiry_timestamp_seconds', help: 'When a certificate ends, in seconds since the epoch.', labels: ['certificate'] },
    (own) => {
      for (const { certificate, notAfter } of certificates?.() ?? []) own.set({ certificate }, notAfter / 1000)
    },
  )
  const commits = addCommitMetrics(metrics, COMMITS, 'what machines ask for, and what operators do')
  const notReady = async () => {
    if (certificates === null) return ['it starts']
    if (certificates === undefined) return ['it is stopping']
    const unwritable = await commits.unwritable(probe)
    const ended = certificates()
      .filter(({ notAfter }) => notAfter < now())
      .map(({ certificate }) => `the ${certificate} certificate has ended`)
    return [...(unwritable === null ? [] : [`the database cannot be written: ${unwritable}`]), ...ended]
  }
  const listening = await serveMetrics({ host, port, metrics, notReady, logger })
  return {
    port: listening.port,
    metered: (routes) => meteredRoutes(routes, metrics),
    timed: (store) => timedStore(store, commits.timed),
    ready(found) {
      certificates = found
    },
    stop: () => listening.close(0),
  }
}

const timedStore = (store: RegistrarStore, timed: CommitMeter<(typeof COMMITS)[number]>['timed']): RegistrarStore => ({
  ...store,
  putPending: (pending, at) => timed('registration', store.putPending(pending, at)),
  dropPending: (agentId, answer) => timed('registration', store.dropPending(agentId, answer)),
  alone: (work) => timed('registration', store.alone(work)),
  revoke: (mark) => timed('command', store.revoke(mark)),
  delete: (agentId) => timed('command', store.delete(agentId)),
  forgetRevocation: (agentId) => timed('command', store.forgetRevocation(agentId)),
})
