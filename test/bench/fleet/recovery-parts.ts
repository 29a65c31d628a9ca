import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { figureText } from '../../../src/tools/lab/figures.ts'
import { type RunningFleet, type RunOptions, withFleet } from '../../../src/tools/lab/run-fleet.ts'
import { signalTree } from '../process-figures.ts'
import { withPostgres } from './bench-postgres.ts'
import { type Given, intervalOf, largest } from './given.ts'
import { each, measure, optionsOf, type Part, type Row, rowOf, settle } from './run.ts'

/** Back at full rate: so much of it, in a second. */
const FULL = 0.95
/** What is not back after so long is not coming back. */
const GIVEN_UP_MS = 300_000
const STALL_SECONDS = 20

/** What happens to it; columns that tell of it, if any. */
type Trouble = (running: RunningFleet) => Promise<Row | undefined>

/** How soon the verifier is at its full rate again, after each of what may hold it up. */
export const RECOVERY_PARTS: Record<string, Part> = {
  stopped: async (given) => [
    `${largest(given)} machines, the verifier is stopped (SIGSTOP) for 30 s`,
    [await recovery(optionsOf(given), stopFor(30))],
  ],
  cut: async (given) => [
    `${largest(given)} machines, the network is cut for 2 minutes`,
    [
      await recovery(
        optionsOf(given),
        only(({ fleet }) => fleet.cut(120_000)),
      ),
    ],
  ],
  slow: async (given) => [
    `${largest(given)} machines, all answer after 0.2 to 2 s for a minute`,
    [
      await recovery(
        optionsOf(given),
        only(({ fleet }) => fleet.slow(60_000)),
      ),
    ],
  ],
  disk: async (given) => [
    `${largest(given)} machines, the disk of the database stalls for ${STALL_SECONDS} s`,
    await each(['SQLite', 'PostgreSQL'], async (database) => ({
      database,
      ...(await (database === 'SQLite' ? stalledFile(given) : stalledServer(given))),
    })),
  ],
  adds: async (given) => [`${largest(given)} machines, and as many are added while these are attested`, [await adds(given)]],
}

const only =
  (trouble: (running: RunningFleet) => Promise<void>): Trouble =>
  async (running) => {
    await trouble(running)
    return undefined
  }

const stopFor = (seconds: number): Trouble =>
  only(async ({ verifier }) => {
    verifier.signal('SIGSTOP')
    await sleep(seconds * 1000)
    verifier.signal('SIGCONT')
  })

/** Each sync of a file of the verifier waits, as on a disk that stalls: a library that is loaded before its own says so. */
async function stalledFile(given: Given): Promise<Row> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-stall-'))
  const library = path.join(directory, 'stall.so')
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, path.join(import.meta.dirname, 'stalled-disk.c'), '-ldl'])
  const on = path.join(directory, 'on')
  try {
    return await recovery(
      optionsOf(given, { env: { LD_PRELOAD: library, STALLED_DISK: on } }),
      only(async () => {
        fs.writeFileSync(on, '')
        await sleep(STALL_SECONDS * 1000)
        fs.rmSync(on)
      }),
    )
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** The server does nothing at all for that time. */
const stalledServer = (given: Given): Promise<Row> =>
  withPostgres((server) =>
    recovery(
      optionsOf(given, { env: { KEYLIME_VERIFIER_DATABASE_URL: server.url() } }),
      only(async () => {
        signalTree(server.pid(), 'SIGSTOP')
        await sleep(STALL_SECONDS * 1000)
        signalTree(server.pid(), 'SIGCONT')
      }),
    ),
  )

/** Twice as many machines at twice the interval: at the end they come to the rate that was asked for. */
function adds(given: Given): Promise<Row> {
  const first = largest(given)
  const interval = 2 * intervalOf(given, first)
  const trouble: Trouble = async ({ fleet, verifier }) => {
    const cpu = verifier.cpuMs()
    const added = await fleet.enrol(first)
    return { 'added/s': added.toFixed(0), 'CPU ms of an add': ((verifier.cpuMs() - cpu) / first).toFixed(2) }
  }
  return recovery(optionsOf(given, { count: 2 * first, first, interval }), trouble)
}

/** What happens to it, and how soon it is at its full rate again. */
function recovery(options: RunOptions, trouble: Trouble): Promise<Row> {
  const { count, interval, first = count } = options
  return withFleet(options, async (running) => {
    const { fleet } = running
    await settle(options)
    const before = await measure(running, options)
    const [quotes, troubled] = [fleet.quotes(), performance.now()]
    const told = await trouble(running)
    const began = performance.now()
    const meanwhile = ((fleet.quotes() - quotes) * 1000) / (began - troubled)
    const goal = FULL * Math.min((before.rate.median * count) / first, count / Math.max(interval, 0.001))
    while ((await fleet.rate(1000)) < goal && performance.now() - began < GIVEN_UP_MS);
    const back = (performance.now() - began) / 1000
    await sleep(2 * interval * 1000)
    const after = await measure(running, options)
    return {
      machines: count,
      'attested/s before': figureText(before.rate, 0),
      meanwhile: meanwhile.toFixed(0),
      ...told,
      'back at full rate after, s': back.toFixed(1),
      'within two intervals': back <= Math.max(1.1, 2 * interval) ? 'yes' : 'no',
      'CPU ms each before': figureText(before.cpuMs, 3),
      ...rowOf(after, interval),
    }
  })
}
