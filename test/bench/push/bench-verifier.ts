import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { freePorts, temporaryKeylimeDir, until } from '../../servers.ts'

/** A verifier as a process, that is measured from outside. */
export interface BenchVerifier {
  readonly dir: string
  readonly port: number
  pid(): number
  /** Processor time of all its threads. */
  cpuMs(): number
  memoryMb(): number
  /** Kills it, and starts it anew on the same port. */
  restart(): Promise<void>
  end(): Promise<void>
}

export interface BenchVerifierOptions {
  intervalSeconds: number
  executable: string
  /** In place of an executable. */
  fromSources: boolean
  /** Where its processor profile is written, from sources; null for none. */
  profile: string | null
  /** Node.js with its options, from sources. */
  node?: readonly string[]
}

/** Of USER_HZ, in which /proc counts processor time. */
const TICK_MS = 10

export async function startBenchVerifier({
  intervalSeconds,
  executable,
  fromSources,
  profile,
  node: given,
}: BenchVerifierOptions): Promise<BenchVerifier> {
  const [port] = (await freePorts(1)) as [number]
  const home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_HOST_REGISTRAR: 'False',
    KEYLIME_VERIFIER_QUOTE_INTERVAL: String(intervalSeconds),
  })
  const node = given ?? [process.execPath, ...execArgv(), ...(profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`])]
  const [command, ...args] = [...(fromSources ? [...node, path.resolve('src/main.ts')] : [executable]), 'verifier']
  const start = () => spawn(command!, args, { env: { ...process.env, ...home.env }, stdio: 'ignore' })
  let child = start()
  await until('the verifier', () => fs.existsSync(`${home.dir}/cv_ca/client-cert.crt`), 60)
  return {
    dir: home.dir,
    port,
    pid: () => child.pid!,
    cpuMs: () => cpuMs(child),
    memoryMb: () => Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024,
    async restart() {
      await ended(child, 'SIGKILL')
      child = start()
    },
    async end() {
      await ended(child, profile === null ? 'SIGKILL' : 'SIGTERM') // a profile is written at the end
      home.remove()
    },
  }
}

/** A server that only answers (`floor-server.ts`), with the certificate of a verifier. */
export async function startFloorServer(kind: 'http' | 'koa', verifierDir: string, intervalSeconds: number) {
  const [port] = (await freePorts(1)) as [number]
  const tls = ['server-cert.crt', 'server-private.pem'].map((name) => `${verifierDir}/cv_ca/${name}`)
  const args = [
    ...execArgv(),
    path.join(import.meta.dirname, 'floor-server.ts'),
    kind,
    String(port),
    ...tls,
    String(Math.ceil(intervalSeconds)),
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data') // it listens
  return { port, cpuMs: () => cpuMs(child), end: () => ended(child, 'SIGKILL') }
}

function cpuMs({ pid }: ChildProcess): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS // proc(5)
}

/** As the built executable has them. */
export const execArgv = (): string[] => JSON.parse(fs.readFileSync('pkg.config.json', 'utf8')).execArgv

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}
