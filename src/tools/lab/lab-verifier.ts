import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import sea from 'node:sea'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../../io/clock.ts'
import { type ApiClient, type ApiClientOptions, LARGE_ANSWERS, openApiClient } from '../../io/http/api-client.ts'
import { poll } from '../../io/poll.ts'
import { endWithUs } from './end-with-us.ts'
import { labMaker } from './machine-certificates.ts'
import type { LabRegistrar } from './register-machine.ts'

/** A verifier as a process of its own, measured from outside: nothing of it is patched. */
export interface LabVerifier {
  readonly pid: number
  /** PEM of the authority that vouches for it. */
  readonly ca: string
  readonly admin: ApiClient
  /** For another process that does the same; null where there is none. */
  readonly adminOptions: ApiClientOptions | null
  /** Null where there is none. */
  readonly registrar: LabRegistrar | null
  /** Text of `/metrics`. */
  metrics(): Promise<string>
  /** Processor time of all its threads, in milliseconds. */
  cpuMs(): number
  /** Its share of the memory, in MB: what it has alone, and its part of what is shared. */
  pssMb(): number
  signal(signal: NodeJS.Signals): void
  /** Kills it, and starts it again on what it had stored. @returns milliseconds of a clock of all processes, at which it was started. */
  restart(): Promise<number>
  stop(): Promise<void>
}

export interface LabVerifierOptions {
  directory: string
  /** Seconds. */
  interval: number
  /** The program whose verifier it is, with its first words; empty for this one. */
  command: readonly string[]
  /** Whether it hosts a registrar. */
  register: boolean
  /** Further settings, as variables. */
  env: Record<string, string>
}

/** Of USER_HZ, in which /proc counts processor time. */
const TICK_MS = 10
const START = { clock: systemClock, timeoutSeconds: 120, firstPauseMs: 20, longestPauseMs: 50 }

/** It ends with this process, however that ends. */
export async function startLabVerifier({ directory, interval, command: given, register, env }: LabVerifierOptions): Promise<LabVerifier> {
  const [port, metricsPort, registrarPort, registrarTlsPort] = await freePorts(4)
  const settings = {
    KEYLIME_DIR: directory,
    KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa',
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_HOST_REGISTRAR: register ? 'True' : 'False',
    KEYLIME_REGISTRAR_PORT: String(registrarPort),
    KEYLIME_REGISTRAR_TLS_PORT: String(registrarTlsPort),
    KEYLIME_VERIFIER_QUOTE_INTERVAL: String(interval),
    KEYLIME_VERIFIER_METRICS_IP: '127.0.0.1',
    KEYLIME_VERIFIER_METRICS_PORT: String(metricsPort),
    ...env,
  }
  const maker = await labMaker(Date.now())
  fs.mkdirSync(path.join(directory, 'tpm_cert_store'), { recursive: true })
  fs.writeFileSync(path.join(directory, 'tpm_cert_store', 'lab-maker.pem'), maker.certificate)
  const [command, ...args] = given.length === 0 ? ownCommand() : given
  const log = fs.openSync(path.join(directory, 'verifier.log'), 'a', 0o600)
  let unstartable: KeylimeError | null = null
  const start = () => {
    const started = spawn(command!, [...args, 'verifier'], { env: { PATH: process.env['PATH'], ...settings }, stdio: ['ignore', log, log] })
    started.once('error', (cause) => {
      unstartable = new KeylimeError('file_failed', `cannot start ${command}: ${cause.message}`, {
        cause,
        hint: 'give --executable the path of a keylime executable',
      })
    })
    return { started, unwatch: started.pid === undefined ? () => {} : endWithUs(started.pid, directory) }
  }
  let { started: child, unwatch } = start()
  /** A verifier of before has none. */
  const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`).catch(() => null))?.text() ?? ''
  const read = (name: string) => fs.readFileSync(path.join(directory, 'cv_ca', name), 'utf8')
  const clientOf = (at: number, name: string): ApiClientOptions => {
    const tls = { cert: read('client-cert.crt'), key: read('client-private.pem'), ca: [read('cacert.crt')] }
    return { url: `https://127.0.0.1:${at}`, name, tls, timeoutSeconds: 120, answers: LARGE_ANSWERS }
  }
  const adminOptions = () => clientOf(port!, 'verifier')
  async function serves(): Promise<ApiClient> {
    const serving = await poll(START, async () => {
      if (unstartable) throw unstartable
      if (child.exitCode !== null)
        throw new KeylimeError('unavailable', 'the verifier ended at its start', { hint: `see ${directory}/verifier.log` })
      if (!fs.existsSync(path.join(directory, 'cv_ca/client-cert.crt'))) return undefined
      const client = openApiClient(adminOptions())
      const isThere = await client.request('GET', '/version').then(
        ({ status }) => status === 200,
        () => false,
      )
      if (isThere) return client
      await client.close()
      return undefined
    })
    if (serving === undefined)
      throw new KeylimeError('timeout', 'the verifier did not serve in time', { hint: `see ${directory}/verifier.log` })
    return serving
  }
  let admin = await serves()
  const registrar = register
    ? {
        agents: openApiClient({ url: `http://127.0.0.1:${registrarPort}`, name: 'registrar', timeoutSeconds: 120 }),
        tenants: openApiClient(clientOf(registrarTlsPort!, 'registrar')),
        maker,
      }
    : null
  return {
    get pid() {
      return child.pid!
    },
    ca: read('cacert.crt'),
    get admin() {
      return admin
    },
    adminOptions: adminOptions(),
    registrar,
    metrics,
    cpuMs: () => cpuMs(child.pid!),
    pssMb: () => Number(/^Pss:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8'))![1]) / 1024,
    signal: (signal) => void child.kill(signal),
    async restart() {
      await ended(child)
      unwatch()
      const at = performance.timeOrigin + performance.now()
      ;({ started: child, unwatch } = start())
      await admin.close()
      admin = await serves()
      return at
    },
    async stop() {
      await Promise.all([admin, registrar?.agents, registrar?.tenants].map((client) => client?.close()))
      await ended(child)
      unwatch()
      fs.closeSync(log)
    },
  }
}

/** This program, packaged or from its sources. */
const ownCommand = (): string[] =>
  sea.isSea() ? [process.execPath] : [process.execPath, ...process.execArgv, path.resolve(process.argv[1]!)]

function cpuMs(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS // proc(5)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}
