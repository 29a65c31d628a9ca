import type { Metrics } from '../../../io/metrics/metrics.ts'
import type { LeaseFigures } from '../leases/leasing.ts'

/** How machines are spread over verifiers that share a database; a verifier on a file has them all. @param figures null until it attests. */
export function addLeases(metrics: Metrics, figures: () => LeaseFigures | null): void {
  const gauge = (name: string, help: string, of: keyof LeaseFigures) =>
    metrics.gauge({ name, help }, (own) => {
      const now = figures()
      if (now) own.set(now[of])
    })
  gauge('verifiers', 'Live verifiers that share the database, including this one.', 'verifiers')
  gauge('leases_held', 'Machines that this verifier attests.', 'held')
  gauge('leases_wanted', 'Machines that are its share, as far as others can let machines go.', 'wanted')
  metrics.total(
    {
      name: 'leases_taken_total',
      help: 'Machines taken over: free ones, as after a verifier died, and asked for, from a live verifier.',
      labels: ['why'],
    },
    (total) => {
      for (const why of ['free', 'asked'] as const) total.inc({ why }, figures()?.[why] ?? 0)
    },
  )
  metrics.total(
    { name: 'leases_given_total', help: 'Machines left to others, beyond its share.' },
    (total) => void total.inc(figures()?.given ?? 0),
  )
  metrics.total(
    { name: 'leases_lost_total', help: 'Machines that another verifier was found to attest.' },
    (total) => void total.inc(figures()?.lost ?? 0),
  )
}
