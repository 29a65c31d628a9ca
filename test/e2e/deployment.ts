import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../servers.ts'
import { type Swtpm, startSwtpm } from '../swtpm.ts'

export const KEYLIME = path.resolve(import.meta.dirname, '../../bin/keylime')

export interface CommandResult {
  code: number | null
  stdout: string
  stderr: string
}

/** One process of the packaged executable, started with exactly the environment given. */
export interface Service {
  child: ChildProcess
  log(): string
  kill(signal?: NodeJS.Signals): Promise<number | null>
}

export interface Machine {
  id: string
  dir: string
  secure: string
  port: number
  tpm: Swtpm
  service: Service
  start(changes?: Record<string, string>): Promise<void>
}

/** Verifier with the registrar inside, machines on real software TPMs, and a tenant: all from `bin/keylime`, in one temporary directory. */
export class Deployment {
  readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-e2e-'))
  readonly server = path.join(this.dir, 'server')
  readonly machines: Machine[] = []
  /** Where the operator's services listen; machines have addresses of their own when it is IPv4. */
  readonly host: '127.0.0.1' | '::1'
  verifier!: Service
  #ports: number[] = []
  #env: Record<string, string> = {}

  constructor(host: Deployment['host'] = '127.0.0.1') {
    this.host = host
  }

  async start(settings: Record<string, string> = {}): Promise<void> {
    this.#ports = await freePorts(3)
    const [verifier, registrar, tls] = this.#ports.map(String) as [string, string, string]
    fs.mkdirSync(path.join(this.server, 'tpm_cert_store'), { recursive: true })
    this.#env = {
      KEYLIME_DIR: this.server,
      KEYLIME_CA_PASSWORD: 'e2e',
      KEYLIME_CA_CERT_KEY_TYPE: 'rsa',
      KEYLIME_VERIFIER_IP: this.host,
      KEYLIME_VERIFIER_PORT: verifier,
      KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1',
      KEYLIME_VERIFIER_RETRY_INTERVAL: '0.2',
      KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'False',
      KEYLIME_VERIFIER_MAX_RETRIES: '30',
      KEYLIME_REGISTRAR_IP: this.host,
      KEYLIME_REGISTRAR_PORT: registrar,
      KEYLIME_REGISTRAR_TLS_PORT: tls,
      KEYLIME_TENANT_VERIFIER_IP: this.host,
      KEYLIME_TENANT_VERIFIER_PORT: verifier,
      KEYLIME_TENANT_REGISTRAR_IP: this.host,
      KEYLIME_TENANT_REGISTRAR_PORT: tls,
      KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['rsassa', 'ecdsa']",
      KEYLIME_TENANT_ACCEPT_TPM_ENCRYPTION_ALGS: "['rsa', 'ecc', 'ecc384']",
      ...settings,
    }
    await this.startVerifier()
  }

  /** Of the operator's commands. */
  get environment(): Record<string, string> {
    return this.#env
  }

  async startVerifier(): Promise<void> {
    this.verifier = service(['verifier'], this.#env)
    await Promise.all(this.#ports.map((port) => answers(port, this.host, this.verifier)))
  }

  /** A machine whose maker the tenant trusts. @param banks of its TPM; default: those of `startSwtpm`. */
  async machine(settings: Record<string, string> = {}, banks?: string): Promise<Machine> {
    const number = this.machines.length + 1
    const id = `d432fbb3-d2f1-4a97-9ef7-75bd81c0${String(number).padStart(4, '0')}`
    const dir = path.join(this.dir, `agent${number}`)
    fs.mkdirSync(dir)
    const tpm = await startSwtpm({ ekCertificate: true, caDirectory: path.join(this.dir, 'maker'), ...(banks ? { banks } : {}) })
    for (const file of tpm.manufacturerCertificates) fs.copyFileSync(file, path.join(this.server, 'tpm_cert_store', path.basename(file)))
    const [port] = (await freePorts(1)) as [number]
    const address = this.host === '::1' ? this.host : `127.0.0.${number}`
    const env = {
      KEYLIME_DIR: dir,
      TCTI: tpm.tcti,
      KEYLIME_AGENT_UUID: id,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_IP: address,
      KEYLIME_AGENT_PORT: String(port),
      KEYLIME_AGENT_CONTACT_IP: address,
      KEYLIME_AGENT_CONTACT_PORT: String(port),
      KEYLIME_AGENT_REGISTRAR_IP: this.host,
      KEYLIME_AGENT_REGISTRAR_PORT: String(this.#ports[1]),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(this.server, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '200',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      ...settings,
    }
    const machine = { id, dir, secure: path.join(dir, 'secure'), port, tpm } as Machine
    machine.start = async (changes = {}) => {
      machine.service = service(['agent'], { ...env, ...changes })
      await answers(port, address, machine.service)
    }
    await machine.start()
    this.machines.push(machine)
    return machine
  }

  tenant(...args: string[]): Promise<CommandResult> {
    return this.run('keylime', 'tenant', ...args)
  }

  /** The executable under a program name, as the operator runs it, in the deployment's directory. */
  async run(program: string, ...args: string[]): Promise<CommandResult> {
    return command(program === 'keylime' ? KEYLIME : path.join(path.dirname(KEYLIME), program), args, this.#env, this.dir)
  }

  /** A command of the operator that a test ends. */
  service(...args: string[]): Service {
    return service(args, this.#env, this.dir)
  }

  // biome-ignore lint/suspicious/noExplicitAny: the status object as it came
  async status(machine: Machine): Promise<any> {
    const { stdout } = await this.tenant('cvstatus', '-u', machine.id, '--json')
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { verifier: unknown }).verifier
  }

  payload(files: Record<string, string>, name = 'payload'): string {
    const dir = path.join(this.dir, name)
    for (const [file, content] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true })
      fs.writeFileSync(path.join(dir, file), content, { mode: file.endsWith('.sh') ? 0o755 : 0o644 })
    }
    return name
  }

  async stop(): Promise<void> {
    for (const machine of this.machines) {
      await machine.service.kill()
      await machine.tpm.stop()
      unmount(machine.secure)
    }
    await this.verifier?.kill()
    fs.rmSync(this.dir, { recursive: true, force: true })
  }
}

export function command(file: string, args: string[], env: Record<string, string> = {}, cwd = os.tmpdir()): Promise<CommandResult> {
  const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const result: CommandResult = { code: null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (result.stdout += chunk))
  child.stderr.on('data', (chunk) => (result.stderr += chunk))
  return once(child, 'close').then(([code]) => ({ ...result, code: code as number | null }))
}

export function service(args: string[], env: Record<string, string>, cwd = process.cwd()): Service {
  const child = spawn(KEYLIME, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk))
  return {
    child,
    log: () => log,
    async kill(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal)
        await once(child, 'exit')
      }
      return child.exitCode
    },
  }
}

async function answers(port: number, host: string, { child, log }: Service): Promise<void> {
  const end = performance.now() + 20_000
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, host, () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (open) return
    if (child.exitCode !== null || performance.now() > end) throw new Error(`nothing listens on ${host}:${port}:\n${log()}`)
    await sleep(20)
  }
}

export function unmount(directory: string): void {
  try {
    execFileSync('umount', [directory], { stdio: 'ignore' })
  } catch {} // it was not mounted
}
