import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import type { Logger } from '../src/io/log/logger.ts'
import { loadAgentSettings } from '../src/roles/agent/agent-settings.ts'
import { type RunningAgent, startAgent } from '../src/roles/agent/start.ts'
import { openCa } from '../src/roles/ca/open-ca.ts'
import { rotate } from '../src/roles/ca/rotate.ts'
import { loadRegistrarSettings } from '../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../src/roles/registrar/start.ts'
import { runTenantCommand, type TenantResult } from '../src/roles/tenant/run-command.ts'
import { withTenant } from '../src/roles/tenant/start.ts'
import type { TenantCommand, TenantOptions } from '../src/roles/tenant/tenant-options.ts'
import { loadTenantSettings } from '../src/roles/tenant/tenant-settings.ts'
import { type RunningVerifier, startVerifier, type VerifierDependencies } from '../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from './rsa-keys.ts'
import { adminClient, freePorts, temporaryKeylimeDir, testLogger, until } from './servers.ts'
import { type Swtpm, startSwtpm } from './swtpm.ts'

export interface LogLine {
  role: string
  level: 'debug' | 'info' | 'warn' | 'error'
  text: string
}

/** A machine with a software TPM and an agent of ours on it. */
export interface RealMachine {
  id: string
  dir: string
  tpm: Swtpm
  port: number
  agent: RunningAgent
  stop(): Promise<void>
  /** @param settings in place of those of the start before. */
  start(settings?: Record<string, string>): Promise<void>
}

/** Verifier, registrar, tenant and authority in one directory, and real agents, in this process: all that is said to a log is kept. */
export class WholeBed {
  readonly lookMs: number
  readonly home: ReturnType<typeof temporaryKeylimeDir>
  readonly log: LogLine[] = []
  readonly machines: RealMachine[] = []
  verifier!: RunningVerifier
  registrar!: RunningRegistrar
  #dependencies: VerifierDependencies = {}

  /** @param lookMs between two looks of a role at its files. */
  constructor(lookMs = 20, settings: Record<string, string> = {}) {
    this.lookMs = lookMs
    this.home = temporaryKeylimeDir({
      KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.2',
      KEYLIME_VERIFIER_RETRY_INTERVAL: '0.1',
      KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
      KEYLIME_VERIFIER_MAX_RETRIES: '2',
      KEYLIME_TENANT_REQUIRE_EK_CERT: 'False',
      KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['ecdsa']",
      ...settings,
    })
  }

  async start(dependencies: VerifierDependencies = {}): Promise<void> {
    giveNotifierKey(this.home.dir)
    const [port] = (await freePorts(1)) as [number]
    Object.assign(this.home.env, { KEYLIME_VERIFIER_PORT: String(port), KEYLIME_TENANT_VERIFIER_PORT: String(port) })
    this.#dependencies = { lookMs: this.lookMs, ...dependencies }
    const make = await startVerifier(loadVerifierSettings(this.home.env), testLogger('verifier')) // makes the certificates that the registrar needs
    await make.stop()
    this.registrar = await startRegistrar(loadRegistrarSettings(this.home.env), this.logger('registrar'), { lookMs: this.lookMs })
    Object.assign(this.home.env, {
      KEYLIME_TENANT_REGISTRAR_PORT: String(this.registrar.tlsPort),
      KEYLIME_VERIFIER_REGISTRAR_PORT: String(this.registrar.tlsPort),
    })
    await this.startVerifier()
  }

  async startVerifier(): Promise<void> {
    this.verifier = await startVerifier(loadVerifierSettings(this.home.env), this.logger('verifier'), this.#dependencies)
  }

  async stop(): Promise<void> {
    for (const machine of this.machines) {
      await machine.stop().catch(() => undefined)
      await machine.tpm.stop()
      try {
        execFileSync('umount', [path.join(machine.dir, 'secure')], { stdio: 'ignore' })
      } catch {}
    }
    await this.registrar?.stop()
    await this.verifier?.stop()
    this.home.remove()
  }

  /** A machine with a directory, a copy of `cacert.crt` and a TPM of its own, whose agent runs and is registered. */
  async machine(name: string): Promise<RealMachine> {
    const dir = path.join(this.home.dir, name)
    fs.mkdirSync(dir)
    fs.copyFileSync(this.path('cv_ca/cacert.crt'), path.join(dir, 'cacert.crt'))
    const tpm = await startSwtpm()
    const bed = this
    let isRunning = false
    const machine: RealMachine = {
      id: '',
      dir,
      tpm,
      port: 0,
      agent: undefined as never,
      async stop() {
        if (isRunning) await machine.agent.stop()
        isRunning = false
      },
      async start(settings = {}) {
        const [port] = (await freePorts(1)) as [number]
        const env = bed.#agentEnv(machine, machine.port || port, settings)
        const agentSettings = loadAgentSettings(env)
        machine.agent = await startAgent(agentSettings, bed.logger(name), { lookMs: bed.lookMs })
        isRunning = true
        machine.id = machine.agent.agentId
        machine.port = machine.agent.port
      },
    }
    this.machines.push(machine)
    await machine.start()
    return machine
  }

  #agentEnv({ dir, tpm }: RealMachine, port: number, settings: Record<string, string>): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      KEYLIME_DIR: dir,
      TCTI: tpm.tcti,
      KEYLIME_AGENT_UUID: `machine-${path.basename(dir)}`,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_PORT: String(port),
      KEYLIME_AGENT_CONTACT_IP: '127.0.0.1',
      KEYLIME_AGENT_CONTACT_PORT: String(port),
      KEYLIME_AGENT_REGISTRAR_PORT: String(this.registrar.port),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(dir, 'cacert.crt'),
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_IMA_ML_PATH: path.join(dir, 'ima'),
      KEYLIME_AGENT_SYSTEMD_ML_PATH: path.join(dir, 'systemd'),
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      ...settings,
    }
  }

  path(...parts: string[]): string {
    return path.join(this.home.dir, ...parts)
  }

  async tenant(command: TenantCommand, options: Partial<TenantOptions> = {}): Promise<TenantResult> {
    const all: TenantOptions = { command, wait: true, timeoutSeconds: 20, ...options }
    return withTenant({ options: all, settings: loadTenantSettings(this.home.env), report: () => {} }, (context) =>
      runTenantCommand(context, command),
    )
  }

  /** `keylime ca rotate`. */
  rotate(options: Parameters<typeof rotate>[1] = {}) {
    return rotate(openCa({ directory: this.path('cv_ca'), passwordFile: undefined }, this.home.env), options)
  }

  // biome-ignore lint/suspicious/noExplicitAny: the results as they came
  async ask(asked: string): Promise<any> {
    const admin = adminClient(this.home.dir, this.verifier.port)
    return (await admin.request('GET', `/v2.6/${asked}`).finally(() => admin.close())).results
  }

  status = ({ id }: RealMachine) => this.ask(`agents/${id}`)

  inState(machine: RealMachine, state: number, seconds = 20) {
    return until(`state ${state} of ${machine.id}`, async () => (await this.status(machine)).operational_state === state, seconds)
  }

  /** Another good attestation begins and ends. */
  async isAttestedOn(machine: RealMachine): Promise<void> {
    const before = (await this.status(machine)).attestation_count
    await until(`attestations of ${machine.id}`, async () => (await this.status(machine)).attestation_count > before + 1, 20)
  }

  logger(role: string): Logger {
    const under = testLogger(role)
    const note =
      (level: LogLine['level']) =>
      (text: string, fields?: Record<string, unknown>): void => {
        this.log.push({ role, level, text })
        under[level](text, fields)
      }
    const logger: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: () => logger }
    return logger
  }

  /** Lines of a level since the last time, with their role. */
  lines(...levels: LogLine['level'][]): string[] {
    return this.log.splice(0).flatMap(({ role, level, text }) => (levels.includes(level) ? [`${role} ${level}: ${text}`] : []))
  }
}
