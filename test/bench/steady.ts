import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { KEYLIME } from '../e2e/deployment.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../simulated-agent.ts'
import { printTable } from './table.ts'

const AGENTS = 100
const WARM_MS = 4000
const MEASURE_MS = 8000
/** Of USER_HZ, in which /proc counts processor time. */
const TICK_MS = 10

/**
 * What one attestation costs the verifier in the steady state: processor time of the built executable, with honest machines that are asked without a pause.
 * `--vs FILE` measures another executable in turns with it.
 */
export async function benchSteady(args: readonly string[]): Promise<void> {
  const other = args.flatMap((arg, i) => (arg === '--vs' ? [args[i + 1] ?? ''] : []))
  const executables = [KEYLIME, ...other]
  const rows: string[][] = []
  for (let turn = 0; turn < (other.length > 0 ? 2 : 1); turn++)
    for (const [i, file] of executables.entries()) {
      const { rate, cost } = await measure(file)
      rows.push([i === 0 ? 'this one' : file, rate.toFixed(0), cost.toFixed(3)])
    }
  printTable(`${AGENTS} honest machines, asked without a pause`, ['executable', 'attestations/s', 'CPU ms each'], rows)
}

async function measure(executable: string): Promise<{ rate: number; cost: number }> {
  const [port] = (await freePorts(1)) as [number]
  const home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_HOST_REGISTRAR: 'False',
    KEYLIME_VERIFIER_QUOTE_INTERVAL: '0',
  })
  const verifier = spawn(executable, ['verifier'], { env: { ...process.env, ...home.env }, stdio: 'ignore' })
  const agents: SimulatedAgent[] = []
  try {
    await until('the verifier', () => fs.existsSync(`${home.dir}/cv_ca/client-cert.crt`), 30)
    const admin = adminClient(home.dir, port)
    await until('its API', () => admin.request('GET', '/version').catch(() => null), 30)
    const ca = fs.readFileSync(`${home.dir}/cv_ca/cacert.crt`, 'utf8')
    for (let i = 0; i < AGENTS; i++) {
      const agent = await simulatedAgent(ca)
      agents.push(agent)
      await admin.request('POST', `/v2.6/agents/steady-${i}`, { body: enrolmentBody(agent) })
    }
    await sleep(WARM_MS)
    const before = { at: performance.now(), cpu: cpuMs(verifier.pid!), count: asked(agents) }
    await sleep(MEASURE_MS)
    const count = asked(agents) - before.count
    const cpu = cpuMs(verifier.pid!) - before.cpu
    await admin.close()
    return { rate: (count * 1000) / (performance.now() - before.at), cost: cpu / count }
  } finally {
    verifier.kill('SIGKILL')
    await once(verifier, 'exit')
    await Promise.all(agents.map((agent) => agent.stop()))
    home.remove()
  }
}

const asked = (agents: readonly SimulatedAgent[]) => agents.reduce((sum, agent) => sum + agent.quotes.length, 0)

/** Processor time of a process with all its threads (proc(5)). */
function cpuMs(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
