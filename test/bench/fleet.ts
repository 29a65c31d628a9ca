import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { figureOf, figureText } from '../../src/tools/lab/figures.ts'
import type { Shares } from '../../src/tools/lab/kinds.ts'
import type { FleetOptions, Steady } from '../../src/tools/lab/lab-fleet.ts'
import { measuredFiles } from '../../src/tools/lab/measured-files.ts'
import { type RunningFleet, type RunOptions, withFleet } from '../../src/tools/lab/run-fleet.ts'
import { KEYLIME } from '../e2e/deployment.ts'
import { printTable } from './table.ts'

const QUICK = 'cost,policy,closing,hanging,stopped'
const ALL = [...QUICK.split(','), 'log', 'cut', 'start', 'update', 'lagging']
const SIZES = '100,1000'
const RESULTS = 'docs/performance'
/** Back at full rate: so much of it, in a second. */
const FULL = 0.95

interface Given {
  sizes: number[]
  interval: number
  seconds: number
  executable: string
}

type Row = Record<string, string | number>

/**
 * A fleet of simulated machines against the built verifier (`keylime lab fleet` has one run of it): what an attestation costs by the number of machines, with large policies and long lists, with machines that
 * close their connections or hang, and how soon it is back after it was held up. `--agents 100,1000` (sizes; the largest for what is done once), `--interval 2`, `--seconds 10` (of measuring, in five parts), `--parts cost,policy,closing,hanging,stopped`
 * of these and log, cut, start, update, lagging, or `all`; `--executable FILE` for another one; `--write` puts the results into docs/performance.
 */
export async function benchFleet(args: readonly string[]): Promise<void> {
  const given = (name: string, otherwise: string) => (args.includes(name) ? args[args.indexOf(name) + 1]! : otherwise)
  const parts = given('--parts', QUICK)
  const options: Given = {
    sizes: given('--agents', SIZES).split(',').map(Number),
    interval: Number(given('--interval', '2')),
    seconds: Number(given('--seconds', '10')),
    executable: given('--executable', KEYLIME),
  }
  const results: Record<string, Row[]> = {}
  for (const part of parts === 'all' ? ALL : parts.split(',')) {
    const [title, rows] = await PARTS[part]!(options)
    results[part] = rows
    printTable(
      `${title} (load ${loadText()})`,
      Object.keys(rows[0]!),
      rows.map((row) => Object.values(row).map(String)),
    )
  }
  if (args.includes('--write')) write(options, results)
}

const PARTS: Record<string, (given: Given) => Promise<[string, Row[]]>> = {
  cost: async (given) => ['machines with a policy of 1,000 digests', await each(given.sizes, (count) => steady(given, { count }))],
  policy: async (given) => [
    `${largest(given)} machines that share a policy of so many digests`,
    await each([0, 100_000, 500_000], (policyDigests) => steady(given, { policyDigests }, { digests: policyDigests })),
  ],
  log: async (given) => [
    `${largest(given)} machines with so many lines in their measurement lists`,
    await each([1000, 10_000, 100_000], (logLines) =>
      steady(given, { logLines, count: Math.min(largest(given), 1000) }, { lines: logLines }),
    ),
  ],
  closing: async (given) => [
    `${largest(given)} machines at an interval of 8 s, which keep their connections, close them after 5 s, or cannot resume sessions either`,
    await each(['keep', 'closing', 'foreign'], (kind) =>
      steady({ ...given, interval: 8, seconds: Math.max(16, given.seconds) }, { shares: kind === 'keep' ? {} : { [kind]: 1 } }, { kind }),
    ),
  ],
  hanging: async (given) => [
    `${largest(given)} machines of which so many hang each request for a minute`,
    await each([0, 0.2], (hanging) => steady(given, { shares: { hanging } }, { hanging })),
  ],
  stopped: async (given) => [
    `${largest(given)} machines, the verifier is stopped (SIGSTOP) for 30 s`,
    [await recovery(given, stopFor(30))],
  ],
  cut: async (given) => [
    `${largest(given)} machines, the network is cut for 2 minutes`,
    [await recovery(given, ({ fleet }) => fleet.cut(120_000))],
  ],
  lagging: async (given) => [
    `${largest(given)} machines at an interval that is shorter than the verifier can do`,
    [await steady({ ...given, interval: 0.05 }, {})],
  ],
  start: async (given) => [`a start with stored machines`, [await start(given)]],
  update: async (given) => [`the policy that all machines share is changed`, [await update(given)]],
}

const largest = ({ sizes }: Given): number => Math.max(...sizes)

async function each<T>(values: readonly T[], run: (value: T) => Promise<Row>): Promise<Row[]> {
  const rows: Row[] = []
  for (const value of values) rows.push(await run(value))
  return rows
}

const optionsOf = (given: Given, changes: Partial<FleetOptions>): RunOptions => ({
  ...{ count: largest(given), shares: {} as Shares, logLines: 50, policyDigests: 1000, interval: given.interval },
  ...{ seconds: given.seconds, executable: given.executable, told: () => undefined },
  ...changes,
})

const WINDOWS = 5

function steady(given: Given, changes: Partial<FleetOptions>, first?: Row): Promise<Row> {
  const options = optionsOf(given, changes)
  return withFleet(options, async ({ fleet, enrolled, firstRoundSeconds }) => {
    await sleep(Math.max(3000, 2 * options.interval * 1000))
    const found = await fleet.measure(WINDOWS, options.seconds / WINDOWS)
    return {
      ...(first ?? { machines: options.count }),
      'added/s': enrolled.toFixed(0),
      'first round, s': firstRoundSeconds.toFixed(1),
      ...rowOf(found),
    }
  })
}

const rowOf = (found: Steady): Row => ({
  'attested/s': figureText(found.rate, 0),
  'CPU ms each': figureText(found.cpuMs, 3),
  'of machines': found.machineCpuMs.median.toFixed(3),
  'answer p50/p99/p99.9 ms': [found.askMs.p50, found.askMs.p99, found.askMs.p999].map((ms) => ms.toFixed(0)).join('/'),
  'lag p99 ms': found.lagMs.p99.toFixed(0),
  'longest gap': `${found.longestGap.toFixed(1)} intervals`,
  'PSS MB': found.pssMb.toFixed(0),
  connections: found.connections,
  'new/resumed': `${found.handshakes}/${found.resumed}`,
})

const stopFor =
  (seconds: number) =>
  async ({ verifier }: RunningFleet): Promise<void> => {
    verifier.signal('SIGSTOP')
    await sleep(seconds * 1000)
    verifier.signal('SIGCONT')
  }

/** What happens to it, and how soon it is at its full rate again. */
function recovery(given: Given, trouble: (running: RunningFleet) => Promise<void>): Promise<Row> {
  const options = optionsOf(given, {})
  return withFleet(options, async (running) => {
    const { fleet } = running
    await sleep(Math.max(3000, 2 * options.interval * 1000))
    const before = await fleet.measure(WINDOWS, options.seconds / WINDOWS)
    await trouble(running)
    const began = performance.now()
    const goal = FULL * Math.min(before.rate.median, options.count / Math.max(options.interval, 0.001))
    while ((await fleet.rate(1000)) < goal && performance.now() - began < 300_000);
    const back = (performance.now() - began) / 1000
    await sleep(2 * options.interval * 1000)
    const after = await fleet.measure(WINDOWS, options.seconds / WINDOWS)
    return {
      machines: options.count,
      'attested/s before': figureText(before.rate, 0),
      'back at full rate after, s': back.toFixed(1),
      ...rowOf(after),
      'CPU ms each before': figureText(before.cpuMs, 3),
    }
  })
}

/** Killed, and started again on what is stored. */
function start(given: Given): Promise<Row> {
  const options = optionsOf(given, {})
  return withFleet(options, async ({ fleet, verifier }) => {
    await sleep(2000)
    const quotes = () => fleet.machines.reduce((sum, machine) => sum + machine.quotes, 0)
    const watch = async (until: () => boolean) => {
      while (!until()) await sleep(5)
      return performance.timeOrigin + performance.now()
    }
    const restarted = verifier.restart()
    await sleep(100) // it was killed
    const before = fleet.machines.map((machine) => machine.quotes)
    const killed = quotes()
    const first = watch(() => quotes() > killed)
    const all = watch(() => fleet.machines.every((machine, i) => machine.quotes > before[i]!))
    const at = await restarted
    return {
      machines: options.count,
      'first quote after, s': (((await first) - at) / 1000).toFixed(2),
      'all asked after, s': (((await all) - at) / 1000).toFixed(2),
    }
  })
}

/** Changed, and counts for all. */
function update(given: Given): Promise<Row> {
  const options = optionsOf(given, { policyDigests: 100_000 })
  return withFleet(options, async ({ fleet, verifier }) => {
    const files = measuredFiles(options.logLines + 200)
    const took: number[] = []
    for (let i = 1; i <= 3; i++) took.push(await fleet.putPolicy(files.policy(options.policyDigests + i), 'PUT'))
    return { machines: options.count, 'answered after, ms': figureText(figureOf(took), 0), 'PSS MB': verifier.pssMb().toFixed(0) }
  })
}

const loadText = () => os.loadavg()[0]!.toFixed(1)

function write(given: Given, results: Record<string, Row[]>): void {
  const date = new Date().toISOString().slice(0, 10)
  const about = {
    date,
    node: process.version,
    processors: os.cpus().map(({ model }) => model),
    load: os.loadavg(),
    ...given,
    executable: path.basename(given.executable),
  }
  fs.mkdirSync(RESULTS, { recursive: true })
  const file = path.join(RESULTS, `${date}-fleet.json`)
  const earlier = fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as object[]) : []
  fs.writeFileSync(file, `${JSON.stringify([...earlier, { about, results }], null, 1)}\n`)
  console.log(`written to ${file}`)
}
