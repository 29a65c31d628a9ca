import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { authTag } from '../../../src/core/payload/auth-tag.ts'
import { sealPayload } from '../../../src/core/payload/seal.ts'
import { splitKey } from '../../../src/core/payload/split-key.ts'
import { encryptShare } from '../../../src/core/payload/transport.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import { loadAgentSettings } from '../../../src/roles/agent/agent-settings.ts'
import { type AgentDependencies, type RunningAgent, startAgent } from '../../../src/roles/agent/start.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { freePorts, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'

export const AGENT_ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'

/** A registrar, a software TPM and an agent on it; the caller plays tenant and verifier. */
export class AgentBed {
  readonly place: ReturnType<typeof temporaryKeylimeDir>
  readonly agentDir: string
  readonly secure: string
  readonly imaLog: string
  readonly systemdLog: string
  readonly log: string[] = []
  tpm!: Swtpm
  registrar!: RunningRegistrar
  agent!: RunningAgent
  client!: ApiClient
  #env: NodeJS.ProcessEnv = {}

  /** @param settings of the registrar. */
  constructor(settings: Record<string, string> = {}) {
    this.place = temporaryKeylimeDir(settings)
    this.agentDir = path.join(this.place.dir, 'agent')
    this.secure = path.join(this.agentDir, 'secure')
    this.imaLog = path.join(this.place.dir, 'ima')
    this.systemdLog = path.join(this.place.dir, 'systemd')
  }

  async start(settings: Record<string, string> = {}, given: AgentDependencies = {}): Promise<void> {
    await this.startServers()
    await this.startAgent(settings, given)
  }

  async startServers(): Promise<void> {
    fs.mkdirSync(this.agentDir)
    const ca = loadConfig('ca', caOptions, { env: this.place.env }).values
    const request = { role: 'verifier', keylimeDir: this.place.dir, tlsDir: 'generate', names: ['127.0.0.1'], caPassword: 'x' } as const
    await ensureTlsDirectory({ ...request, settings: caSettings(ca), serverKeyPassword: '', clientKeyPassword: '', now: Date.now })
    this.registrar = await startRegistrar(loadRegistrarSettings(this.place.env), testLogger('registrar'))
    this.tpm = await startSwtpm()
  }

  async startAgent(settings: Record<string, string> = {}, given: AgentDependencies = {}): Promise<void> {
    const [port] = (await freePorts(1)).map(String) as [string]
    this.#env = {
      PATH: process.env['PATH'],
      KEYLIME_DIR: this.agentDir,
      TCTI: this.tpm.tcti,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_PORT: port,
      KEYLIME_AGENT_CONTACT_PORT: port,
      KEYLIME_AGENT_REGISTRAR_PORT: String(this.registrar.port),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(this.place.dir, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_IMA_ML_PATH: this.imaLog,
      KEYLIME_AGENT_SYSTEMD_ML_PATH: this.systemdLog,
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '20',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '1',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      ...settings,
    }
    this.agent = await startAgent(loadAgentSettings(this.#env), this.#logger(), given)
    this.client = settings['KEYLIME_AGENT_ENABLE_AGENT_MTLS'] === 'false' ? this.plainClient() : this.clientWith(this.#identity())
  }

  /** The caller's client, pinned to the agent's certificate. */
  clientWith(tls: { cert?: string; key?: string }): ApiClient {
    const pin = fs.readFileSync(path.join(this.agentDir, 'server-cert.crt'), 'utf8')
    return openApiClient({ url: `https://127.0.0.1:${this.agent.port}`, name: 'agent', tls: { ...tls, pin }, timeoutSeconds: 10 })
  }

  plainClient(): ApiClient {
    return openApiClient({ url: `http://127.0.0.1:${this.agent.port}`, name: 'agent', timeoutSeconds: 10 })
  }

  #identity() {
    const read = (name: string) => fs.readFileSync(path.join(this.place.dir, 'cv_ca', name), 'utf8')
    return { cert: read('client-cert.crt'), key: read('client-private.pem') }
  }

  #logger() {
    const under = testLogger('agent')
    const note = (message: string, fields?: Record<string, unknown>) =>
      void this.log.push(message + (fields ? ` ${JSON.stringify(fields)}` : ''))
    const logger = { debug: note, info: note, warn: note, error: note, child: () => logger }
    return process.env['KEYLIME_TEST_LOG'] ? under : logger
  }

  get(path: string) {
    return this.client.request('GET', path)
  }

  async stopAgent(): Promise<void> {
    await this.client?.close()
    await this.agent?.stop()
  }

  async stop(): Promise<void> {
    await this.stopAgent().catch(() => {})
    await this.registrar?.stop()
    await this.tpm?.stop()
    try {
      execFileSync('umount', [this.secure], { stdio: 'ignore' })
    } catch {}
    this.place.remove()
  }

  /** Sends U with a payload, then V, as tenant and verifier do. */
  async deliver(content: Buffer | null, given: Partial<Shares> = {}): Promise<Shares> {
    const shares = { ...newShares(), ...given }
    const pem = await this.transportKey()
    const payload = content && sealPayload(shares.k, randomBytes(16), content)
    const body = {
      encrypted_key: encryptShare(pem, splitKey(shares.k, shares.v)),
      auth_tag: authTag(shares.k, AGENT_ID),
      ...(payload ? { payload } : {}),
    }
    const u = await this.client.request('POST', '/v2.6/keys/ukey', { body })
    const v = await this.client.request('POST', '/v2.6/keys/vkey', { body: { encrypted_key: encryptShare(pem, shares.v) } })
    if (u.status !== 200 || v.status !== 200) throw new Error(`${u.status} ${u.message}, ${v.status} ${v.message}`)
    await this.agent.idle()
    return shares
  }

  async transportKey(): Promise<string> {
    return ((await this.get('/v2.6/keys/pubkey')).results as { pubkey: string }).pubkey
  }

  read(name: string): string {
    return fs.readFileSync(path.join(this.secure, name), 'utf8')
  }
}

export interface Shares {
  k: Buffer
  v: Buffer
}

export const newShares = (): Shares => ({ k: randomBytes(32), v: randomBytes(32) })
