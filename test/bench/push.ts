import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../../src/io/http/api-client.ts'
import { KEYLIME } from '../e2e/deployment.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../servers.ts'
import { pushEnrolment, type SimulatedPushAgent, simulatedPushAgent } from '../simulated-push-agent.ts'
import { ms, printTable } from './table.ts'

const INTERVAL_SECONDS = 4
const MEASURE_MS = 12_000
const SIDE_BY_SIDE = 64
/** Of USER_HZ, in which /proc counts processor time. */
const TICK_MS = 10

/**
 * Machines that bring their evidence, with real signatures over real TLS, simulated in this process: what the long requests of all of them hold, how soon a revocation is with each, and what an
 * attestation costs. `--agents N` (default 10,000), `--sources` for the program as it is here in place of the built one.
 */
export async function benchPush(args: readonly string[]): Promise<void> {
  const count = Number(args[args.indexOf('--agents') + 1] || 10_000) || 10_000
  const [port] = (await freePorts(1)) as [number]
  const home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_HOST_REGISTRAR: 'False',
    KEYLIME_VERIFIER_QUOTE_INTERVAL: String(INTERVAL_SECONDS),
  })
  const command = args.includes('--sources') ? [process.execPath, path.resolve('src/main.ts')] : [KEYLIME]
  const verifier = spawn(command[0]!, [...command.slice(1), 'verifier'], { env: { ...process.env, ...home.env }, stdio: 'ignore' })
  try {
    await until('the verifier', () => fs.existsSync(`${home.dir}/cv_ca/client-cert.crt`), 60)
    const admin = adminClient(home.dir, port)
    await until('its API', () => admin.request('GET', '/version').catch(() => null), 60)
    const ca = fs.readFileSync(`${home.dir}/cv_ca/cacert.crt`, 'utf8')
    const agents = Array.from({ length: count }, (_, i) => simulatedPushAgent(`push-${i}`, () => ({ port, ca })))
    await sideBySide(agents, async (agent) => {
      const { status } = await admin.request('POST', `/v2.6/agents/${agent.id}`, { body: pushEnrolment(agent) })
      if (status !== 200) throw new Error(`${agent.id}: ${status}`)
    })
    const began = performance.now()
    await sideBySide(agents, async (agent) => void (await agent.authenticate()))
    const proved = performance.now() - began
    const before = memoryMb(verifier.pid!)
    const held = await holdAll(agents, admin, verifier.pid!)
    printTable(
      `${count} machines from one address, each with a request that is held`,
      ['proved, s', 'RSS before, MB', 'RSS held, MB', 'a revocation at half of them', 'at all'],
      [[(proved / 1000).toFixed(1), before.toFixed(0), held.memory.toFixed(0), ms(held.half), ms(held.all)]],
    )
    const rows: string[][] = []
    for (const waits of [false, true]) {
      const { rate, cost, late } = await steady(agents, verifier.pid!, waits)
      rows.push([waits ? 'and a long request' : 'two requests', rate.toFixed(0), cost.toFixed(3), ms(late)])
    }
    printTable(
      `${count} machines, an attestation each ${INTERVAL_SECONDS} s`,
      ['each attestation', 'attestations/s', 'CPU ms each', 'median of both answers'],
      rows,
    )
    await admin.close()
  } finally {
    verifier.kill('SIGKILL')
    await once(verifier, 'exit')
    home.remove()
  }
}

/** All wait; then one machine is stolen, and each of the others is told. */
async function holdAll(agents: readonly SimulatedPushAgent[], admin: ApiClient, pid: number) {
  const answer: number[] = []
  const all = agents.slice(1).map(async (agent) => {
    await news(agent, 0)
    const got = await news(agent, 60)
    answer.push(performance.now())
    return got
  })
  await sleep(Math.max(3000, agents.length))
  const memory = memoryMb(pid)
  const began = performance.now()
  await admin.request('PUT', `/v2.6/agents/${agents[0]!.id}/revoke`)
  await Promise.all(all)
  const took = answer.map((at) => at - began).toSorted((a, b) => a - b)
  return { memory, half: took[Math.floor(took.length / 2)]!, all: took.at(-1)! }
}

async function steady(agents: readonly SimulatedPushAgent[], pid: number, waits: boolean) {
  let [done, stopped] = [0, false]
  const answers: number[] = []
  const loops = agents.slice(1).map(async (agent, i) => {
    await sleep((i / agents.length) * INTERVAL_SECONDS * 1000)
    while (!stopped) {
      const began = performance.now()
      await agent.attest()
      answers.push(performance.now() - began)
      done++
      const left = INTERVAL_SECONDS * 1000 + 50 // from the answer on, as agents do
      if (waits) await news(agent, left / 1000)
      else await sleep(left)
    }
  })
  await sleep(2 * INTERVAL_SECONDS * 1000)
  const before = { at: performance.now(), cpu: cpuMs(pid), done }
  await sleep(MEASURE_MS)
  const count = done - before.done
  const result = {
    rate: (count * 1000) / (performance.now() - before.at),
    cost: (cpuMs(pid) - before.cpu) / count,
    late: answers.toSorted((a, b) => a - b)[answers.length >> 1]!,
  }
  stopped = true
  await Promise.all(loops)
  return result
}

async function news(agent: SimulatedPushAgent, seconds: number): Promise<void> {
  const body = { seconds, acknowledged: [], notifier: null }
  const { status } = await agent.request('POST', `/v3.0/agents/${agent.id}/wait`, body, agent.token)
  if (status !== 200) throw new Error(`${agent.id}: ${status}`)
}

async function sideBySide<T>(all: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  const waiting = all.values()
  const work = async () => {
    for (const one of waiting) await run(one)
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
}

const memoryMb = (pid: number): number => Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024

/** Processor time of a process with all its threads (proc(5)). */
function cpuMs(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
