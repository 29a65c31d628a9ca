// The machines of `npm run bench push`, in a process of their own: told by its parent what they do (`fleet.ts`).
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { BareConnection, type BareServer } from '../../fleet/bare-connection.ts'
import { FleetMachine, Refused } from '../../fleet/fleet-machine.ts'

/** What the machines of the fleet do when they are told to; each answer goes back as it is. */
export interface FleetWork {
  /** @param given.resumes whether they resume TLS sessions as our agent does, or begin anew each time as upstream's. @returns their public keys, TPM2B_PUBLIC in base64. */
  make(given: { count: number; port: number; ca: string; resumes?: boolean }): string[]
  /** All prove their keys. @returns milliseconds. */
  prove(given: object): Promise<number>
  /** All hold a long request of a minute, without what is told at once. @returns milliseconds of a clock of all processes, at which each was answered. */
  hold(given: object): Promise<number[]>
  /** Each attests from now on when it is told to, the first time within the interval; with the long request as the pause, or a pause. */
  live(given: { intervalMs: number; waits: boolean }): void
  rest(given: object): Promise<void>
  /** What has been since the last time. */
  count(given: object): FleetCount
  /** All connections are cut, and nobody makes another one. */
  away(given: object): void
  /** All come at once. @returns how long it took each until its evidence was accepted, in milliseconds; ends after a minute. */
  back(given: object): Promise<number[]>
}

export interface FleetCount {
  attestations: number
  /** Of both answers, milliseconds. */
  median: number
  /** Seconds until the next attestation that the verifier named. */
  longestToNext: number
  /** Texts with how often. */
  errors: Record<string, number>
  connections: number
  cpuMs: number
}

const SIDE_BY_SIDE = 64
const HELD_SECONDS = 60
const LONGEST_DRAIN_MS = 60_000
/** Default `exponential_backoff_initial_delay` of agents, and how it grows. */
const FIRST_DELAY_MS = 10_000
const MAX_DELAY_MS = 300_000
/** Timers may be a little early. */
const TIMER_MS = 5

let machines: FleetMachine[] = []
let server: BareServer
let lives: Promise<void>[] = []
let stopped = false
/** Resolves when the way to the verifier is there. */
let way = Promise.withResolvers<void>()
way.resolve()
let isAway = false
let drain: { began: number; open: Set<FleetMachine>; took: number[]; done(): void } | null = null
let counted = fresh()

function fresh() {
  return {
    attestations: 0,
    latencies: [] as number[],
    longestToNext: 0,
    errors: new Map<string, number>(),
    connections: BareConnection.opened,
    cpu: process.cpuUsage(),
  }
}

const clock = () => performance.timeOrigin + performance.now()

async function life(machine: FleetMachine, waits: boolean, startMs: number): Promise<void> {
  await sleep(startMs)
  for (let failures = 0; !stopped; ) {
    await way.promise
    const began = performance.now()
    let toNext: number
    try {
      toNext = await machine.attest()
    } catch (error) {
      if (isAway || tally(error) === 'again') continue
      await sleep(delayAfter(error, failures++))
      continue
    }
    failures = 0
    attested(machine, performance.now() - began)
    counted.longestToNext = Math.max(counted.longestToNext, toNext)
    const end = performance.now() + toNext * 1000 + TIMER_MS
    if (waits) await machine.wait(toNext).catch((error) => isAway || tally(error))
    if (!isAway) await sleep(Math.max(0, end - performance.now()))
  }
}

function attested(machine: FleetMachine, took: number): void {
  counted.attestations++
  counted.latencies.push(took)
  if (!drain?.open.delete(machine)) return
  drain.took.push(performance.now() - drain.began)
  if (drain.open.size === 0) drain.done()
}

/** @returns `again` for a token that has ended: a new session follows at once. */
function tally(error: unknown): 'again' | 'counted' {
  if (error instanceof Refused && error.status === 401) return 'again'
  const text = (error as Error).message
  counted.errors.set(text, (counted.errors.get(text) ?? 0) + 1)
  return 'counted'
}

/** As agents do it (`core/attestation/push-course.ts`). */
function delayAfter(error: unknown, failures: number): number {
  const after = error instanceof Refused ? error.retryAfterSeconds : null
  if (after !== null) return after * 1000 * (1 + Math.random() / 10)
  return Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS) * (0.5 + Math.random())
}

async function sideBySide(run: (machine: FleetMachine) => Promise<unknown>): Promise<void> {
  const waiting = machines.values()
  const work = async () => {
    for (const machine of waiting) await run(machine)
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
}

const work: FleetWork = {
  make({ count, port, ca, resumes = true }) {
    const context = tls.createSecureContext({ ca, minVersion: 'TLSv1.2' })
    server = {
      port,
      context,
      ...(resumes ? { resuming: tls.createSecureContext({ ca, minVersion: 'TLSv1.2', ecdhCurve: 'X25519' }) } : {}),
    }
    machines = Array.from({ length: count }, (_, i) => new FleetMachine(`push-${i}`, () => server))
    return machines.map(({ publicKey }) => publicKey)
  },
  async prove() {
    const began = performance.now()
    await sideBySide((machine) => machine.prove())
    return performance.now() - began
  },
  hold: () =>
    Promise.all(
      machines.map(async (machine) => {
        await machine.wait(0)
        await machine.wait(HELD_SECONDS)
        return clock()
      }),
    ),
  live({ intervalMs, waits }) {
    stopped = false
    lives = machines.map((machine, i) => life(machine, waits, (i / machines.length) * intervalMs))
  },
  async rest() {
    stopped = true
    await Promise.all(lives)
  },
  count() {
    const { attestations, latencies, longestToNext, errors, connections, cpu } = counted
    const { user, system } = process.cpuUsage(cpu)
    counted = fresh()
    return {
      attestations,
      longestToNext,
      median: latencies.toSorted((a, b) => a - b)[latencies.length >> 1] ?? 0,
      errors: Object.fromEntries(errors),
      connections: BareConnection.opened - connections,
      cpuMs: (user + system) / 1000,
    }
  },
  away() {
    isAway = true
    way = Promise.withResolvers<void>()
    for (const machine of machines) machine.cut()
  },
  back() {
    const { promise, resolve } = Promise.withResolvers<number[]>()
    const took: number[] = []
    const done = () => resolve(took)
    drain = { began: performance.now(), open: new Set(machines), took, done }
    setTimeout(done, LONGEST_DRAIN_MS).unref()
    isAway = false
    way.resolve()
    return promise
  },
}

process.on('message', async ({ name, given }: { name: keyof FleetWork; given: never }) => {
  try {
    process.send!({ answer: (await work[name](given)) ?? null })
  } catch (error) {
    process.send!({ failed: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit())
