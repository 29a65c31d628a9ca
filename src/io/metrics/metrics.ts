import type { Counter, Gauge, Histogram, Metric } from 'prom-client'
import { Tally } from './tally.ts'

/** What is counted: a name by Prometheus' conventions (base units, `_total` for what only rises), and what it says to a person. */
export interface Definition<L extends string = never> {
  /** Behind the prefix of the role. */
  name: string
  help: string
  labels?: readonly L[]
}

/** The figures of one process, and the text form in which Prometheus reads them. */
export interface Metrics {
  counter<L extends string = never>(definition: Definition<L>): Counter<L>
  /** @param read asked at each scrape, so that nothing has to be kept up to date in between. */
  gauge<L extends string = never>(definition: Definition<L>, read: (gauge: Gauge<L>) => void): void
  /** The same for what only rises, and is counted elsewhere: as a plain number, where it is counted for each attestation. */
  total<L extends string = never>(definition: Definition<L>, read: (counter: Counter<L>) => void): void
  /** @param bounds of the buckets, in seconds, rising. */
  histogram<L extends string = never>(definition: Definition<L>, bounds: readonly number[]): Histogram<L>
  /** The same where each attestation adds to it: one for each value of its label. */
  tallies<V extends string>(definition: Definition<string>, values: readonly V[], bounds: readonly number[]): Record<V, Tally>
  /** @throws what a reading throws. */
  text(): Promise<{ type: string; body: string }>
}

/** Half a millisecond to a minute. */
export const DURATIONS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** @param prefix of all names but those of the process itself. */
export async function createMetrics(prefix: string): Promise<Metrics> {
  const { default: prom } = await import('prom-client') // only when somebody asks for figures
  const { Counter, Gauge, Histogram, Registry } = prom
  const registry = new Registry()
  const named = <L extends string>({ name, help, labels = [] }: Definition<L>) => ({
    name: name.startsWith('process_') ? name : `${prefix}_${name}`,
    help,
    labelNames: [...labels],
    registers: [registry],
  })
  return {
    counter: (definition) => new Counter(named(definition)),
    gauge<L extends string>(definition: Definition<L>, read: (gauge: Gauge<L>) => void) {
      const gauge: Gauge<L> = new Gauge({ ...named(definition), collect: () => renew(gauge, read) })
    },
    total<L extends string>(definition: Definition<L>, read: (counter: Counter<L>) => void) {
      const counter: Counter<L> = new Counter({ ...named(definition), collect: () => renew(counter, read) })
    },
    histogram: (definition, bounds) => new Histogram({ ...named(definition), buckets: [...bounds] }),
    tallies<V extends string>(definition: Definition<string>, values: readonly V[], bounds: readonly number[]) {
      const tallies = Object.fromEntries(values.map((value) => [value, new Tally(bounds)])) as Record<V, Tally>
      const { name, help } = named(definition)
      const [label] = definition.labels ?? []
      const get = async () => ({ name, help, type: 'histogram', aggregator: 'sum', values: valuesOf(tallies, name, label) })
      registry.registerMetric({ name, help, get, reset: () => undefined } as unknown as Metric<string>)
      return tallies
    },
    text: async () => ({ type: registry.contentType, body: await registry.metrics() }),
  }
}

function renew<T extends { reset(): void }>(metric: T, read: (metric: T) => void): void {
  metric.reset()
  read(metric)
}

/** Lines of a histogram. */
function valuesOf(tallies: Record<string, Tally>, name: string, label: string | undefined) {
  return Object.entries(tallies).flatMap(([value, tally]) => {
    const labels = label === undefined ? {} : { [label]: value }
    const { buckets, sum, count } = tally.read()
    return [
      ...buckets.map((bucket) => ({ metricName: `${name}_bucket`, labels: { le: bucket.le, ...labels }, value: bucket.count })),
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ]
  })
}
