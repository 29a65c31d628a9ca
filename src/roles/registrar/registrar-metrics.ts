import type { PoolLoad } from '../../io/db/postgres-pool-load.ts'
import type { CertificateEnd } from '../../io/files/identity-dates.ts'
import type { Route } from '../../io/http/route.ts'
import type { Logger } from '../../io/log/logger.ts'
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
  stop(): Promise<void>
}

const OFF: RegistrarMetrics = { port: null, metered: (routes) => routes, ready() {}, async stop() {} }

/** Serves `/metrics`, `/healthz` and `/readyz` where `metrics_ip` says so; otherwise nothing is counted. @param `database`: connections to its server, null for a file. @throws KeylimeError `address_in_use`. */
export async function openRegistrarMetrics(
  { metrics_ip: host, metrics_port: port }: { metrics_ip: string; metrics_port: number },
  { now, database }: { now: () => number; database: () => PoolLoad | null },
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
  const notReady = () => {
    if (certificates === null) return ['it starts']
    if (certificates === undefined) return ['it is stopping']
    return certificates()
      .filter(({ notAfter }) => notAfter < now())
      .map(({ certificate }) => `the ${certificate} certificate has ended`)
  }
  const listening = await serveMetrics({ host, port, metrics, notReady, logger })
  return {
    port: listening.port,
    metered: (routes) => meteredRoutes(routes, metrics),
    ready(found) {
      certificates = found
    },
    stop: () => listening.close(0),
  }
}
