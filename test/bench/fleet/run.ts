import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { figureText } from '../../../src/tools/lab/figures.ts'
import type { Steady } from '../../../src/tools/lab/lab-fleet.ts'
import { type RunningFleet, type RunOptions, withFleet } from '../../../src/tools/lab/run-fleet.ts'
import { type Given, intervalOf, largest, windowSeconds } from './given.ts'

/** A line of a table, by its columns. */
export type Row = Record<string, string | number>

/** A title, and what was measured. */
export type Part = (given: Given) => Promise<[string, Row[]]>

const WINDOWS = 5

/** One after another. */
export async function each<T>(values: readonly T[], run: (value: T) => Promise<Row>): Promise<Row[]> {
  const rows: Row[] = []
  for (const value of values) rows.push(await run(value))
  return rows
}

/** A run of the largest fleet that was asked for, unless the changes say otherwise. */
export function optionsOf(given: Given, changes: Partial<RunOptions> = {}): RunOptions {
  const count = changes.count ?? largest(given)
  return {
    ...{ count, shares: {}, logLines: 50, policyDigests: 1000, interval: intervalOf(given, count) },
    ...{ seconds: given.seconds, command: [given.executable], told: () => undefined },
    ...changes,
  }
}

/** What else takes part in it, such as a database: its column, and its processor time in milliseconds. */
export type Besides = Record<string, () => number>

export interface SteadyOptions {
  /** Columns before the others. */
  first?: Row
  besides?: Besides
  /** Measured when connections are kept as they are: each is renewed once after its first minute, some a second (decision 144). */
  rests?: boolean
}

/** Before the last connections are renewed, and until the last of 10,000 is. */
const [RENEWED_FROM_SECONDS, REST_SECONDS] = [35, 180]

/** Enrolled, attested for two intervals, measured. */
export function steady(given: Given, changes: Partial<RunOptions> = {}, { first, besides = {}, rests }: SteadyOptions = {}): Promise<Row> {
  const options = optionsOf(given, changes)
  return withFleet(options, async (running) => {
    const { enrolled, firstRoundSeconds } = running
    await settle(options)
    if (rests) {
      await sleep(RENEWED_FROM_SECONDS * 1000)
      await running.fleet.rested(REST_SECONDS)
    }
    const { found, more } = await measured(running, options, besides)
    return {
      ...(first ?? { machines: options.count }),
      'added/s': enrolled.toFixed(0),
      'first round, s': firstRoundSeconds.toFixed(1),
      ...rowOf(found, options.interval),
      ...more,
    }
  })
}

/** Two intervals, and a little while. */
export const settle = ({ interval }: Pick<RunOptions, 'interval'>) => sleep(Math.max(3000, 2 * interval * 1000))

/** In windows of whole rounds. */
export const measure = ({ fleet }: RunningFleet, { seconds, interval }: RunOptions): Promise<Steady> =>
  fleet.measure(WINDOWS, windowSeconds(seconds, WINDOWS, interval))

async function measured(running: RunningFleet, options: RunOptions, besides: Besides): Promise<{ found: Steady; more: Row }> {
  const before = Object.values(besides).map((cpuMs) => cpuMs())
  const began = performance.now()
  const found = await measure(running, options)
  const count = Math.max(1, (found.rate.median * (performance.now() - began)) / 1000)
  const more = Object.entries(besides).map(([column, cpuMs], i) => [column, ((cpuMs() - before[i]!) / count).toFixed(3)])
  return { found, more: Object.fromEntries(more) }
}

/** The columns of what was measured. */
export const rowOf = (found: Steady, interval: number): Row => ({
  'interval s': Number(interval.toFixed(3)),
  'attested/s': figureText(found.rate, 0),
  'CPU ms each': figureText(found.cpuMs, 3),
  'of machines': found.machineCpuMs.median.toFixed(3),
  'answer p50/p99/p99.9 ms': [found.askMs.p50, found.askMs.p99, found.askMs.p999].map((ms) => ms.toFixed(0)).join('/'),
  'lag p99 ms': found.lagMs.p99.toFixed(0),
  'longest gap': `${found.longestGap.toFixed(1)} intervals`,
  'PSS MB': found.pssMb.toFixed(0),
  'kB each': (found.bytesEach / 1000).toFixed(1),
  connections: found.connections,
  'new/resumed': `${found.handshakes}/${found.resumed}`,
})

/** How busy the machine is. */
export const loadText = () => os.loadavg()[0]!.toFixed(1)
