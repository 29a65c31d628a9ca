import fs from 'node:fs'
import path from 'node:path'
import { type CommandResult, command, KEYLIME, type Service, service } from '../e2e/deployment.ts'
import { until } from '../servers.ts'
import { CACHE } from './machine.ts'

/** Where machines see the host's 127.0.0.1. */
export const HOST_FROM_GUEST = '10.0.2.2'
const FIRST_PORT = Number(process.env['KEYLIME_VM_FIRST_PORT'] ?? 16000) + 900
/** On the host. */
export const PORT = { verifier: FIRST_PORT, registrar: FIRST_PORT + 1, registrarTls: FIRST_PORT + 2, ca: FIRST_PORT + 3 }

export interface AgentStatus {
  attestation_status: string
  attestation_count: number
  last_event_id: string | null
  operational_state: number
  failures: { event_id: string; context: { message: string } }[]
}

/**
 * The operator's host: verifier with the registrar inside, authority and tenant, all from bin/keylime. Its directory outlives the run, because the frozen
 * machines know its CA and are registered there.
 */
export class Operator {
  readonly dir = path.join(CACHE, 'operator')
  readonly registrarPort = PORT.registrar
  readonly #env: Record<string, string>
  verifier: Service | undefined
  authority: Service | undefined

  constructor() {
    const crl = `http://${HOST_FROM_GUEST}:${PORT.ca}`
    this.#env = {
      KEYLIME_DIR: this.dir,
      KEYLIME_CA_PASSWORD: 'vm',
      KEYLIME_VERIFIER_PORT: String(PORT.verifier),
      KEYLIME_VERIFIER_QUOTE_INTERVAL: '1',
      KEYLIME_VERIFIER_RETRY_INTERVAL: '1',
      KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'False',
      KEYLIME_VERIFIER_REQUEST_TIMEOUT: '20', // an emulated machine under load is slow, not silent
      KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME: 'example',
      KEYLIME_VERIFIER_MEASURED_BOOT_EVALUATE: 'always',
      KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent', 'webhook']",
      KEYLIME_VERIFIER_REVOCATIONS_WEBHOOK_URL: `http://127.0.0.1:${PORT.ca}/revocation`,
      KEYLIME_VERIFIER_CERT_SUBJECT_ALTERNATIVE_NAMES: `["${HOST_FROM_GUEST}"]`, // for agents that bring their evidence
      KEYLIME_REGISTRAR_PORT: String(PORT.registrar),
      KEYLIME_REGISTRAR_TLS_PORT: String(PORT.registrarTls),
      KEYLIME_TENANT_VERIFIER_PORT: String(PORT.verifier),
      KEYLIME_TENANT_REGISTRAR_PORT: String(PORT.registrarTls),
      KEYLIME_CA_LISTEN_PORT: String(PORT.ca),
      KEYLIME_CA_CERT_CRL_DIST: `${crl}/crl`,
    }
  }

  /** @param more settings of this run. */
  async start(more: Record<string, string> = {}): Promise<void> {
    this.verifier = service(['verifier'], { ...this.#env, ...more })
    await until('the verifier', () => serves(this.verifier!, 'verifier'), 30)
  }

  async restart(more: Record<string, string> = {}): Promise<void> {
    await this.verifier?.kill()
    await this.start(more)
  }

  /** After the tenant made it with the first `--cert ca`. */
  async listen(): Promise<void> {
    if (this.authority) return
    this.authority = service(['ca', 'listen', '-d', path.join(this.dir, 'ca')], this.#env)
    await until('the authority', () => serves(this.authority!, 'authority'), 30)
  }

  async stop(): Promise<void> {
    await this.authority?.kill()
    await this.verifier?.kill()
  }

  keylime(...args: string[]): Promise<CommandResult> {
    this.#trustMakers()
    return command(KEYLIME, args, this.#env, this.dir)
  }

  /** The makers of the software TPMs are there only when the first machine is: in a run without a cache, after the start of the verifier. */
  #trustMakers(): void {
    const store = path.join(this.dir, 'tpm_cert_store')
    fs.mkdirSync(store, { recursive: true, mode: 0o700 })
    for (const name of ['issuercert.pem', 'swtpm-localca-rootca-cert.pem']) {
      const maker = path.join(CACHE, 'ca', name)
      if (fs.existsSync(maker) && !fs.existsSync(path.join(store, name))) fs.copyFileSync(maker, path.join(store, name))
    }
  }

  /** @throws when the exit code is another one. */
  async succeeds(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.keylime(...args)
    if (code !== 0) throw new Error(`keylime ${args.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}`)
    return stdout
  }

  async status(agentId: string): Promise<AgentStatus> {
    const { stdout } = await this.keylime('tenant', 'cvstatus', '-u', agentId, '--json')
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { verifier: AgentStatus }).verifier
  }

  /** Waits for `count` more good attestations. */
  async attestedAgain(agentId: string, count = 2, seconds = 90): Promise<void> {
    const before = (await this.status(agentId)).attestation_count
    await until(
      `${count} more attestations`,
      async () => {
        const status = await this.status(agentId)
        if (failed(status)) throw new Error(`the machine failed: ${reasons(status)}`)
        return status.attestation_count >= before + count && status.attestation_status === 'PASS'
      },
      seconds,
    )
  }

  /** Waits for the verdict that refuses. @returns its reasons. */
  async refused(agentId: string, seconds = 60): Promise<string> {
    return reasons(
      await until(
        'the refusal',
        async () => {
          const status = await this.status(agentId)
          return failed(status) ? status : null
        },
        seconds,
      ),
    )
  }

  async forget(agentId: string): Promise<void> {
    await this.keylime('tenant', 'delete', '-u', agentId)
  }

  /** Machines of earlier runs, which are gone. */
  async forgetAll(): Promise<void> {
    for (const id of (await this.succeeds('tenant', 'cvlist', '--quiet')).split('\n')) if (/^[0-9a-f]{64}$/.test(id)) await this.forget(id)
  }

  /** A directory of files to deliver. */
  payload(name: string, files: Record<string, string>): string {
    const dir = path.join(this.dir, name)
    fs.rmSync(dir, { recursive: true, force: true })
    fs.mkdirSync(dir, { mode: 0o700 })
    for (const [file, content] of Object.entries(files)) fs.writeFileSync(path.join(dir, file), content)
    return dir
  }
}

/** Judged and refused. One that cannot be reached is none of these, although upstream's word for it is FAIL too. */
const failed = ({ attestation_status: verdict, last_event_id: event }: AgentStatus) =>
  verdict === 'FAIL' && event !== 'internal.verifier.not_reachable'

export const reasons = (status: AgentStatus): string =>
  status.failures.map(({ event_id, context }) => `${event_id}: ${context.message}`).join('; ') || String(status.last_event_id)

function serves({ child, log }: Service, name: string): boolean {
  if (child.exitCode !== null) throw new Error(`the ${name} ended: ${log()}`)
  return log().includes(name === 'verifier' ? 'verifier serves' : 'serves its revocation list')
}
