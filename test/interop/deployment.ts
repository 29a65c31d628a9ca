import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { privateKeyPem } from '../../src/core/pki/keys.ts'
import { KEYLIME, unmount } from '../e2e/deployment.ts'
import { adminClient, freePortPair, freePorts } from '../servers.ts'
import { startSwtpm } from '../swtpm.ts'
import { type AgentKind, type Databases, type Ports, writeAgentConfig, writeServiceConfig } from './config-files.ts'
import { Machine } from './machine.ts'
import { atStop, type Finished, runCommand, type Service, startService } from './processes.ts'
import { CURRENT, LAST_PYTHON_AGENT, OLDEST, programOf, rustAgent, rustPushAgent } from './upstream.ts'

export type Side = 'ours' | 'theirs'

export interface Sides {
  registrar: Side
  verifier: Side
  tenant: Side
  agent: AgentKind
}

export interface Variant {
  /** Of upstream's services and tenant. */
  release?: string
  /** Revocations are published over ZeroMQ, and by no other way. */
  overZeromq?: boolean
  /** Agents find the directory of an older agent in Rust: one RSA key for TLS and payload. */
  rustDirectory?: boolean
  /** Agents listen nowhere and bring their evidence. */
  push?: boolean
  /** Of the verifier (`Ports`). */
  quoteInterval?: number
  workers?: number
  databases?: Databases
}

/** What the verifier says of an agent. */
export interface Status {
  operational_state: number
  attestation_count: number
  last_event_id: string | null
  [field: string]: unknown
}

/**
 * Registrar, verifier, tenant and agents, each ours or upstream's, all by upstream's configuration files and program names. Every role has a directory of
 * its own; they share only what an operator copies: cv_ca, and the tenant's part of it.
 */
export class Deployment {
  readonly dir: string
  readonly sides: Sides
  readonly machines: Machine[] = []
  readonly #release: string
  readonly #overZeromq: boolean
  readonly #rustDirectory: boolean
  readonly #verifier: Pick<Ports, 'push' | 'quoteInterval' | 'workers' | 'databases'>
  readonly #services: Service[] = []
  ports!: Ports
  #env: Record<string, string> = {}

  constructor(dir: string, sides: Sides, { release = CURRENT, overZeromq = false, rustDirectory = false, ...verifier }: Variant = {}) {
    this.dir = dir
    this.sides = sides
    this.#release = release
    this.#overZeromq = overZeromq
    this.#rustDirectory = rustDirectory
    this.#verifier = verifier
  }

  /** Of one role. */
  at(...names: string[]): string {
    return path.join(this.dir, ...names)
  }

  async start(): Promise<void> {
    fs.rmSync(this.dir, { recursive: true, force: true })
    for (const role of ['verifier', 'registrar', 'tenant/cv_ca', 'tenant/tpm_cert_store']) fs.mkdirSync(this.at(role), { recursive: true })
    const [verifier, registrar, registrarTls, zeromq] = (await freePorts(4)) as [number, number, number, number]
    this.ports = { verifier, registrar, registrarTls, zeromq: this.#overZeromq ? zeromq : null, ...this.#verifier }
    this.#env = { PATH: process.env['PATH'] ?? '', HOME: this.dir, LANG: 'C.UTF-8', ...writeServiceConfig(this.at('etc'), this.ports) }
    await this.#serve('verifier', verifier)
    fs.cpSync(this.at('verifier/cv_ca'), this.at('registrar/cv_ca'), { recursive: true })
    for (const file of ['cacert.crt', 'client-cert.crt', 'client-private.pem'])
      fs.copyFileSync(this.at('verifier/cv_ca', file), this.at('tenant/cv_ca', file))
    await this.#serve('registrar', registrarTls)
  }

  async #serve(role: 'verifier' | 'registrar', port: number): Promise<void> {
    const env = { ...this.#env, KEYLIME_DIR: this.at(role) }
    const service = startService([this.program(this.sides[role], `keylime_${role}`)], env, this.at('log', `${role}.log`))
    this.#services.push(service)
    await this.until(`the ${role} to answer`, 30, () => answers(port), service)
  }

  /** Of the first process of a service. */
  pidOf(role: 'verifier' | 'registrar'): number {
    return this.#services.find(({ name }) => name === role)!.pid()
  }

  /** The verifier ends and starts again. */
  async restartVerifier(pause: () => Promise<void> = async () => {}): Promise<void> {
    await this.#services.find(({ name }) => name === 'verifier')!.stop()
    await pause()
    await this.#serve('verifier', this.ports.verifier)
  }

  /** Ours in the place of upstream's, on what that has stored. @param to `database_url` of ours. @returns what `keylime ROLE migrate` says. */
  async takeOver(role: 'verifier' | 'registrar', to = 'sqlite'): Promise<string> {
    const service = this.#services.find(({ name }) => name === role)!
    await service.stop()
    this.#services.splice(this.#services.indexOf(service), 1)
    const env = { ...this.#env, KEYLIME_DIR: this.at(role) }
    const words = [KEYLIME, role, 'migrate', '--from', this.#verifier.databases?.[role] ?? this.#putAside(role), '--to', to]
    const { code, stdout, stderr } = await runCommand(words, { env, cwd: this.at(role) })
    if (code !== 0) throw new Error(`${words.join(' ')}: exit ${code}\n${stdout}${stderr}`)
    this.sides[role] = 'ours'
    this.#env[`KEYLIME_${role.toUpperCase()}_DATABASE_URL`] = to
    await this.#serve(role, role === 'verifier' ? this.ports.verifier : this.ports.registrarTls)
    return stdout
  }

  /** Ours would have a file of the same name. @returns the URL of theirs. */
  #putAside(role: 'verifier' | 'registrar'): string {
    const theirs = this.at(role, 'upstream.sqlite')
    fs.renameSync(this.at(role, role === 'verifier' ? 'cv_data.sqlite' : 'reg_data.sqlite'), theirs)
    return `sqlite:///${theirs}`
  }

  program(side: Side, name: string): string {
    return side === 'ours' ? path.join(path.dirname(KEYLIME), name) : programOf(this.#release, name)
  }

  /** A machine that has booted, and whose maker the tenant trusts; its agent has registered. */
  async machine(): Promise<Machine> {
    const number = this.machines.length + 1
    const id = `d432fbb3-d2f1-4a97-9ef7-75bd81c0${String(number).padStart(4, '0')}`
    const dir = this.at(`agent${number}`)
    fs.mkdirSync(path.join(dir, 'actions'), { recursive: true })
    if (this.#rustDirectory)
      fs.writeFileSync(
        path.join(dir, 'server-private.pem'),
        privateKeyPem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
        { mode: 0o600 },
      )
    const [port] = (await freePorts(1)) as [number]
    const onTcp = this.sides.agent === 'rust' ? { port: await freePortPair() } : {} // its library knows no unix socket
    const tpm = await startSwtpm({ ekCertificate: true, caDirectory: this.at('maker'), ...onTcp })
    for (const file of tpm.manufacturerCertificates) fs.copyFileSync(file, this.at('tenant/tpm_cert_store', path.basename(file)))
    const machine = new Machine(id, dir, port, tpm)
    this.machines.push(machine)
    atStop(() => tpm.stop())
    atStop(() => unmount(path.join(dir, 'secure')))
    await machine.boot()
    const service = this.#startAgent(machine)
    this.#services.push(service)
    await this.until(`agent ${number} to register`, 40, () => this.#registered(machine), service)
    if (!this.#verifier.push) await this.until(`agent ${number} to listen`, 10, () => answers(port), service)
    return machine
  }

  #startAgent({ id, dir, port, tpm, imaLog, bootLog }: Machine): Service {
    const clientCa = this.at('verifier/cv_ca/cacert.crt')
    const facts = { id, dir, port, registrarPort: this.ports.registrar, zeromq: this.ports.zeromq, clientCa }
    // the oldest tenant asks in the agent's newest version, and does not know the names that 2.5 gave to keys
    const apiVersions = this.#release === OLDEST && this.sides.tenant === 'theirs' ? { apiVersions: '2.1, 2.2' } : {}
    const verifierUrl = this.#verifier.push ? { verifierUrl: `https://127.0.0.1:${this.ports.verifier}` } : {}
    const config = writeAgentConfig(this.sides.agent, { ...facts, ...apiVersions, ...verifierUrl })
    const env = {
      ...this.#env,
      KEYLIME_DIR: dir,
      KEYLIME_AGENT_CONFIG: config,
      TCTI: tpm.tcti,
      TPM2TOOLS_TCTI: tpm.tcti,
      IMA_ML: imaLog,
      MEASUREDBOOT_ML: bootLog,
      PATCH: this.sides.registrar === 'theirs' ? '1' : '0',
      RUST_LOG: 'keylime_agent=info,keylime_push_model_agent=info,keylime=info',
    }
    const python = [programOf(LAST_PYTHON_AGENT, 'python'), path.join(import.meta.dirname, 'python_agent.py')]
    const rust = [(this.#verifier.push ? rustPushAgent() : rustAgent()) ?? '']
    const commands = { ours: [this.program('ours', this.#verifier.push ? 'keylime_push_model_agent' : 'keylime_agent')], python, rust }
    return startService(commands[this.sides.agent], env, this.at('log', `${path.basename(dir)}.log`))
  }

  async #registered({ id }: Machine): Promise<boolean> {
    return (await this.ask('registrar', `agents/${id}`)).status === 200
  }

  /** A question with the administrator's certificate, in the newest version of the API that the release has. */
  async ask(role: 'verifier' | 'registrar', resource: string): Promise<{ status: number; results: unknown }> {
    const client = adminClient(this.at('verifier'), role === 'verifier' ? this.ports.verifier : this.ports.registrarTls)
    const version = this.#release === CURRENT ? 'v2.6' : 'v2.1'
    return client.request('GET', `/${version}/${resource}`).finally(() => client.close())
  }

  /** @returns null when the verifier does not know the machine. */
  async status({ id }: Machine): Promise<Status | null> {
    const { status, results } = await this.ask('verifier', `agents/${id}`)
    return status === 200 ? (results as Status) : null
  }

  /** One of the operator's programs, by upstream's name, in the tenant's directory. */
  run(program: string, args: readonly string[], side: Side = this.sides.tenant): Promise<Finished> {
    const env = { ...this.#env, KEYLIME_DIR: this.at('tenant') }
    return runCommand([this.program(side, program), ...args], { env, cwd: this.at('tenant') })
  }

  /** Waits for a condition. @throws when the time is up or the service that must bring it about has ended, with the ends of all logs. */
  async until<T>(what: string, seconds: number, probe: () => T | Promise<T>, service?: Service): Promise<NonNullable<T>> {
    const end = performance.now() + seconds * 1000
    let last = ''
    while (performance.now() < end && (service?.running() ?? true)) {
      const value = await Promise.resolve()
        .then(probe)
        .catch((error: Error) => {
          last = error.message
          return undefined
        })
      if (value) return value as NonNullable<T>
      await sleep(50)
    }
    throw new Error(`waited ${seconds} s for ${what}${last && `: ${last}`}\n${this.logs()}`)
  }

  logs(lines = 25): string {
    return this.#services.map((s) => `--- ${s.name}\n${s.log().trimEnd().split('\n').slice(-lines).join('\n')}`).join('\n')
  }
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
