import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../../src/io/http/api-client.ts'
import { KEYLIME } from '../e2e/deployment.ts'
import { adminClient, until } from '../servers.ts'
import { pushEnrolment } from '../simulated-push-agent.ts'
import { softwareAk } from '../software-ak.ts'
import { type BenchVerifier, type BenchVerifierOptions, startBenchVerifier, startFloorServer } from './push/bench-verifier.ts'
import { type Fleet, startFleet } from './push/fleet.ts'
import type { FleetCount } from './push/fleet-process.ts'
import { ms, printTable } from './table.ts'

const INTERVAL = '4'
/** Until what is run often is compiled, and what connecting left behind is collected. */
const WARM_UP_MS = 20_000
/** With a collection of the old generation or two. */
const MEASURE_MS = 20_000
const OUTAGE_MS = 5_000
const SIDE_BY_SIDE = 64
const SIZES = '100,1000,10000'
const PARTS = 'held,cost,floor,herd'
const STOLEN = 'stolen'

/**
 * Machines that bring their evidence, with real signatures over real TLS from one address, simulated in a process of their own: what an attestation costs the verifier, what the long requests
 * of all of them hold and how soon a revocation is with each, and how they come back together after an outage. `--agents 100,1000,10000`, `--interval 4` (seconds),
 * `--parts held,cost,floor,herd`; machines resume their TLS sessions as our agent does, with `--full-handshakes` none, as upstream's; `--executable FILE` for another one than was built here, `--sources` for the program as it is here, with `--profile DIR` for where its processor profile goes.
 */
export async function benchPush(args: readonly string[]): Promise<void> {
  const given = (name: string, otherwise: string) => (args.includes(name) ? args[args.indexOf(name) + 1]! : otherwise)
  const parts = given('--parts', PARTS).split(',')
  const intervalSeconds = Number(given('--interval', INTERVAL))
  const profile = args.includes('--profile') ? given('--profile', '.') : null
  const resumes = !args.includes('--full-handshakes')
  const options = { intervalSeconds, executable: given('--executable', KEYLIME), fromSources: args.includes('--sources'), profile, resumes }
  for (const count of given('--agents', SIZES).split(',').map(Number))
    await withPushFleet(count, options, async (run) => {
      const proved = [(run.provedMs / 1000).toFixed(1)]
      printTable(`${count} machines, ${SIDE_BY_SIDE} side by side`, ['connected and proved, s'], [proved])
      if (parts.includes('held')) await heldRequests(run)
      if (parts.includes('cost')) await costs(run)
      if (parts.includes('floor')) await floors(run)
      if (parts.includes('herd')) await herds(run)
    })
}

/** A verifier, and a fleet whose machines are enrolled and have proved their keys. */
export async function withPushFleet<T>(count: number, options: PushFleetOptions, use: (run: PushRun) => Promise<T>): Promise<T> {
  const verifier = await startBenchVerifier(options)
  const fleet = startFleet()
  const admin = adminClient(verifier.dir, verifier.port)
  try {
    await until('its API', () => admin.request('GET', '/version').catch(() => null), 60)
    const { intervalSeconds, resumes = true } = options
    const enrolled = { count, intervalSeconds, resumes, verifier, fleet, admin }
    await enrolAll(enrolled)
    return await use({ ...enrolled, provedMs: await fleet.ask('prove', {}) })
  } finally {
    await admin.close()
    await fleet.end()
    await verifier.end()
  }
}

export interface PushFleetOptions extends BenchVerifierOptions {
  /** Whether machines resume their TLS sessions, as our agent does; upstream's does not. */
  resumes?: boolean
}

export interface PushRun extends Run {
  /** Milliseconds in which all connected and proved their keys. */
  provedMs: number
}

interface Run {
  count: number
  intervalSeconds: number
  resumes: boolean
  verifier: BenchVerifier
  fleet: Fleet
  admin: ApiClient
}

async function enrolAll({ count, resumes, verifier, fleet, admin }: Run): Promise<void> {
  const ca = fs.readFileSync(`${verifier.dir}/cv_ca/cacert.crt`, 'utf8')
  const keys = await fleet.ask('make', { count, port: verifier.port, ca, resumes })
  const waiting = keys.entries()
  const work = async () => {
    for (const [i, key] of waiting) {
      const body = pushEnrolment({ ak: { public: Buffer.from(key, 'base64') } })
      const { status, message } = await admin.request('POST', `/v2.6/agents/push-${i}`, { body, timeoutSeconds: 60 })
      if (status !== 200) throw new Error(`push-${i}: ${status} ${message}`)
    }
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
  await admin.request('POST', `/v2.6/agents/${STOLEN}`, { body: pushEnrolment({ ak: softwareAk('ecc') }) })
}

/** All wait; then another one is stolen, and each is told. */
async function heldRequests({ count, verifier, fleet, admin }: Run): Promise<void> {
  const before = verifier.memoryMb()
  const told = fleet.ask('hold', {})
  told.catch(() => undefined) // thrown where it is awaited
  await sleep(Math.max(3000, 3 * count))
  const held = verifier.memoryMb()
  const began = performance.timeOrigin + performance.now()
  await admin.request('PUT', `/v2.6/agents/${STOLEN}/revoke`, { timeoutSeconds: 60 })
  const took = (await told).map((at) => at - began).toSorted((a, b) => a - b)
  const row = [before.toFixed(0), held.toFixed(0), ms(took[took.length >> 1]!), ms(took.at(-1)!)]
  const head = ['RSS before, MB', 'RSS held, MB', 'a revocation at half of them, ms', 'at all, ms']
  printTable(`${count} machines, each with a request that is held`, head, [row])
}

/** In the steady state, with and without the long request in the pause. */
async function costs(run: Run): Promise<void> {
  const rows = await pushCosts(run)
  const title = `${run.count} machines, an attestation each ${run.intervalSeconds} s (load ${loadText()})`
  printTable(
    title,
    Object.keys(rows[0]!),
    rows.map((row) => Object.values(row)),
  )
}

/** The same, as lines with their columns. */
export async function pushCosts({ intervalSeconds, verifier, fleet }: Run): Promise<Record<string, string>[]> {
  const rows = []
  for (const waits of [false, true]) {
    const found = await steady({ fleet, server: verifier, intervalSeconds, waits })
    rows.push({
      verifier: waits ? 'and a long request' : 'two requests',
      ...Object.fromEntries(STEADY.map((column, i) => [column, found[i]!])),
      'RSS, MB': verifier.memoryMb().toFixed(0),
    })
  }
  return rows
}

/** The same machines at servers that only answer. */
async function floors({ count, intervalSeconds, verifier }: Run): Promise<void> {
  const rows: string[][] = []
  const back: string[][] = []
  for (const kind of ['http', 'koa'] as const) {
    const server = await startFloorServer(kind, verifier.dir, intervalSeconds)
    const fleet = startFleet()
    try {
      await fleet.ask('make', { count, port: server.port, ca: fs.readFileSync(`${verifier.dir}/cv_ca/cacert.crt`, 'utf8') })
      const name = `node:https${kind === 'koa' ? ' with koa' : ''}`
      for (const waits of [false, true]) rows.push([name, ...(await steady({ fleet, server, intervalSeconds, waits }))])
      await fleet.ask('live', { intervalMs: intervalSeconds * 1000, waits: true })
      await sleep(2 * intervalSeconds * 1000)
      await fleet.ask('away', {})
      await sleep(OUTAGE_MS)
      back.push([name, ...(await comeBack(fleet, server))])
    } finally {
      await fleet.end()
      await server.end()
    }
  }
  printTable(
    `${count} machines at a server that only answers: two requests, and with a long one (load ${loadText()})`,
    ['server', ...STEADY],
    rows,
  )
  printTable(`${count} machines come back to it at once, connections cut (load ${loadText()})`, ['server', ...BACK], back)
}

const STEADY = ['attestations/s', 'CPU ms each', 'of the fleet', 'median of both answers, ms', 'told to come after, s', 'trouble']

interface Steady extends Pick<Run, 'fleet' | 'intervalSeconds'> {
  server: Pick<BenchVerifier, 'cpuMs'>
  waits: boolean
}

async function steady({ fleet, server, intervalSeconds, waits }: Steady): Promise<string[]> {
  await fleet.ask('live', { intervalMs: intervalSeconds * 1000, waits })
  await sleep(Math.max(WARM_UP_MS, 2 * intervalSeconds * 1000))
  await fleet.ask('count', {})
  const before = { at: performance.now(), cpu: server.cpuMs() }
  await sleep(MEASURE_MS)
  const cpu = server.cpuMs() - before.cpu
  const seconds = (performance.now() - before.at) / 1000
  const { attestations, median, longestToNext, cpuMs, ...rest } = await fleet.ask('count', {})
  await fleet.ask('rest', {})
  const each = (value: number) => (value / attestations).toFixed(3)
  return [(attestations / seconds).toFixed(0), each(cpu), each(cpuMs), ms(median), String(longestToNext), troubleOf(rest)]
}

/** All connections are cut for a while, or the verifier is killed and starts anew; then all come in the same moment. */
async function herds(run: Run): Promise<void> {
  const { count, intervalSeconds, verifier, fleet, admin } = run
  await fleet.ask('live', { intervalMs: intervalSeconds * 1000, waits: true })
  await sleep(2 * intervalSeconds * 1000)
  const rows: string[][] = []
  for (const outage of ['connections are cut', 'the verifier is killed']) {
    await fleet.ask('away', {})
    if (outage === 'connections are cut') await sleep(OUTAGE_MS)
    else await verifier.restart()
    await until('its API', () => admin.request('GET', '/version').catch(() => null), 60)
    rows.push([outage, ...(await comeBack(fleet, verifier)), verifier.memoryMb().toFixed(0)])
    await sleep(2 * intervalSeconds * 1000)
  }
  await fleet.ask('rest', {})
  printTable(`${count} machines come back at once (load ${loadText()})`, ['outage', ...BACK, 'RSS, MB'], rows)
}

const BACK = ['came back', 'half, s', 'all, s', 'CPU of server / fleet, s', 'told to come after, s', 'trouble']

async function comeBack(fleet: Fleet, server: Pick<BenchVerifier, 'cpuMs'>): Promise<string[]> {
  await fleet.ask('count', {})
  const cpu = server.cpuMs()
  const took = (await fleet.ask('back', {})).toSorted((a, b) => a - b)
  const used = server.cpuMs() - cpu
  const { cpuMs, longestToNext, ...counted } = await fleet.ask('count', {})
  const seconds = (value: number | undefined) => (value === undefined ? '-' : (value / 1000).toFixed(1))
  const times = [seconds(took[took.length >> 1]), seconds(took.at(-1)), `${seconds(used)} / ${seconds(cpuMs)}`]
  return [String(took.length), ...times, String(longestToNext), troubleOf(counted)]
}

function troubleOf({ errors, connections }: Pick<FleetCount, 'errors' | 'connections'>): string {
  const texts = Object.entries(errors).map(([text, times]) => `${times} × ${text}`)
  return [...(connections > 0 ? [`${connections} new connections`] : []), ...texts].join('; ') || 'none'
}

const loadText = () => fs.readFileSync('/proc/loadavg', 'utf8').split(' ')[0]
