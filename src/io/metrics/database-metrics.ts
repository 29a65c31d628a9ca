import type { PoolLoad } from '../db/postgres-pool-load.ts'
import type { Metrics } from './metrics.ts'

/** Connections to a PostgreSQL server, of any role; all are zero where a file is used. @param load of this moment; null for a file. */
export function addDatabaseMetrics(metrics: Metrics, load: () => PoolLoad | null): void {
  const NONE: PoolLoad = { busy: 0, idle: 0, most: 0, waiting: 0, failed: 0 }
  const now = () => load() ?? NONE
  metrics.gauge({ name: 'database_connections', help: 'Connections to the database server.', labels: ['state'] }, (own) => {
    const { busy, idle } = now()
    own.set({ state: 'busy' }, busy)
    own.set({ state: 'idle' }, idle)
  })
  metrics.gauge({ name: 'database_connections_limit', help: 'As many may be open at once: database_pool_sz_ovfl.' }, (own) =>
    own.set(now().most),
  )
  metrics.gauge({ name: 'database_connections_awaited', help: 'How many wait for a connection to be free.' }, (own) =>
    own.set(now().waiting),
  )
  metrics.total(
    { name: 'database_connection_failures_total', help: 'Connections that could not be had, or were cut.' },
    (total) => void total.inc(now().failed),
  )
}
