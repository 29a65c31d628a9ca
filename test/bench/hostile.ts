import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { openApiClient } from '../../src/io/http/api-client.ts'
import { enrolFleet, type Fleet } from './hostile/fleet.ts'
import { MACHINE_ATTACKS } from './hostile/machines.ts'
import { STRANGER_ATTACKS } from './hostile/strangers.ts'
import { forgetPeak, longestTurn, peakMemory, startVerifierProcess, type VerifierProcess } from './hostile/verifier-process.ts'
import { ms, printTable } from './table.ts'

const AGENTS = 200
const ATTACK_MS = 10_000
/** The guard of the event loop speaks at most once in ten seconds. */
const COOL_DOWN_MS = 11_000
const PROBE_MS = 20
const REACTIVATE_MS = 500
const ATTACKER = path.resolve(import.meta.dirname, 'hostile/attacker.ts')
/** What is measured without an attack. */
const PEACE = 'none'
const GOALS = { latenessMs: 1000, memoryBytes: 400e6, p99Ms: 100, turnMs: 50 }

/**
 * A verifier with 200 honest machines at interval 1, attacked for ten seconds in each way: how late an honest machine is asked, how much memory the verifier
 * takes, how long another client waits for an answer, and how long a turn of the event loop is. `--attack NAME` chooses.
 */
export async function benchHostile(args: readonly string[]): Promise<void> {
  const names = [...Object.keys(STRANGER_ATTACKS), ...Object.keys(MACHINE_ATTACKS)]
  const chosen = args.flatMap((arg, i) => (arg === '--attack' ? [args[i + 1] ?? ''] : []))
  const unknown = chosen.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`there is no attack "${unknown}": there are ${names.join(', ')}`)
  const verifier = await startVerifierProcess()
  const fleet = await enrolFleet(verifier, AGENTS)
  const rows: string[][] = []
  try {
    for (const name of [PEACE, ...(chosen.length > 0 ? chosen : names)]) {
      const measured = await underAttack(name, verifier, fleet)
      rows.push(rowOf(name, measured))
      console.log(rows.at(-1)!.join('  '))
    }
  } finally {
    await verifier.stop()
    await fleet.stop()
  }
  const head = ['attack', 'late ms', 'memory MB', 'API p50 ms', 'API p99 ms', 'longest turn ms', '']
  printTable(`a verifier with ${AGENTS} honest machines, each attack for ${ATTACK_MS / 1000} s`, head, rows)
}

interface Measured {
  lateness: number
  memory: number
  /** Milliseconds of each request, sorted. */
  api: number[]
  turn: number
}

async function underAttack(name: string, verifier: VerifierProcess, fleet: Fleet): Promise<Measured> {
  const pid = verifier.service.child.pid!
  const attacker = name === PEACE ? null : await startAttacker(name, verifier)
  await sleep(1000) // what the attacker's start took of the machine is over
  const logBefore = verifier.service.log().length
  const since = performance.now()
  forgetPeak(pid)
  const api = await probe(verifier)
  await attacker?.begin()
  await sleep(ATTACK_MS)
  const memory = peakMemory(pid)
  await attacker?.end()
  await sleep(COOL_DOWN_MS)
  if (verifier.service.child.exitCode !== null) throw new Error(`the verifier ended:\n${verifier.service.log().slice(-2000)}`)
  return {
    memory: Math.max(memory, peakMemory(pid)),
    lateness: fleet.lateness(since),
    api: (await api.end()).toSorted((a, b) => a - b),
    turn: longestTurn(verifier.service.log().slice(logBefore)),
  }
}

interface Attacker {
  begin(): Promise<void>
  end(): Promise<void>
}

async function startAttacker(name: string, verifier: VerifierProcess): Promise<Attacker> {
  const child = spawn(process.execPath, [ATTACKER, name, String(verifier.port), verifier.ca], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const body = JSON.parse(line) as Record<string, unknown>
  if (!(name in MACHINE_ATTACKS)) return { begin: async () => undefined, end: () => ended(child) }
  const { admin } = verifier
  const url = `/v2.6/agents/${name}`
  let again: NodeJS.Timeout | undefined
  return {
    async begin() {
      const { status, message } = await admin.request('POST', url, { body })
      if (status !== 200) throw new Error(`${name} cannot be enrolled: ${status} ${message}`)
      // What failed is not asked again by itself; the attack goes on.
      again = setInterval(() => void admin.request('PUT', `${url}/reactivate`, { body: {} }).catch(() => undefined), REACTIVATE_MS)
    },
    async end() {
      clearInterval(again)
      await ended(child)
      await admin.request('DELETE', url).catch((error: Error) => console.log(`${name} cannot be deleted: ${error.message}`))
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const exit = once(child, 'exit')
  child.stdin?.end()
  const patience = setTimeout(() => child.kill('SIGKILL'), 3000)
  await exit
  clearTimeout(patience)
}

/** Another client, on a connection of its own, that asks something easy again and again. */
async function probe({ port, ca }: VerifierProcess): Promise<{ end(): Promise<number[]> }> {
  const client = openApiClient({
    url: `https://127.0.0.1:${port}`,
    name: 'verifier',
    tls: { ca: [fs.readFileSync(ca, 'utf8')] },
    timeoutSeconds: 120,
  })
  const times: number[] = []
  let isOver = false
  await client.request('GET', '/version') // the handshake is not counted
  const running = (async () => {
    while (!isOver) {
      const start = performance.now()
      const isAnswered = await client.request('GET', '/version').then(
        ({ status }) => status === 200,
        () => false,
      )
      times.push(isAnswered ? performance.now() - start : Number.POSITIVE_INFINITY)
      await sleep(PROBE_MS)
    }
    await client.close()
  })()
  return {
    async end() {
      isOver = true
      await running
      return times
    },
  }
}

function rowOf(name: string, { lateness, memory, api, turn }: Measured): string[] {
  const at = (share: number) => api[Math.min(api.length - 1, Math.floor(api.length * share))] ?? Number.NaN
  const p99 = at(0.99)
  const misses = [
    ...(lateness > GOALS.latenessMs ? ['late'] : []),
    ...(memory >= GOALS.memoryBytes ? ['memory'] : []),
    ...(p99 < GOALS.p99Ms ? [] : ['API']),
    ...(turn > GOALS.turnMs ? ['turn'] : []),
  ]
  const verdict = misses.length === 0 ? 'GOOD' : `BAD: ${misses.join(', ')}`
  return [name, ms(Math.max(0, lateness)), (memory / 1e6).toFixed(0), ms(at(0.5)), ms(p99), turn > 0 ? ms(turn) : '< 50', verdict]
}
