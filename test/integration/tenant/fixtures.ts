import { createPublicKey } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../src/core/pki/issue.ts'
import { sameKey } from '../../../src/core/pki/keys.ts'
import type { Certificate } from '../../../src/core/pki/types.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import type { TenantEvent } from '../../../src/roles/tenant/events.ts'
import { runTenantCommand, type TenantResult } from '../../../src/roles/tenant/run-command.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import type { TenantCommand, TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { type RunningVerifier, startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, anyClient, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'
import { type SoftwareEk, softwareEk } from '../../software-ek.ts'
import { der, handMade, root } from '../../unit/core/pki/fixtures.ts'
import { retireAll } from '../../verifier-bed.ts'

const HOUR = 3_600_000

/** As makers issue them: it says nothing but whose key it is. */
export function ekCertificate(maker: Authority, ek: Pick<SoftwareEk, 'privateKey'>): Certificate {
  const time = (ms: number) => `${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')}`
  const validity = { notBefore: time(Date.now() - HOUR), notAfter: time(Date.now() + HOUR) }
  const issuer = { issuer: maker.certificate.subjectName.der, key: maker.key }
  return parseCertificate(handMade({ subject: der(0x30), ...issuer, publicKey: createPublicKey(ek.privateKey), ...validity }))
}

/** A verifier, a registrar that says what a test wants, and machines with software keys: everything that a tenant talks to, over real TLS. */
export class TenantWorld {
  readonly home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.25',
    KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
    KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
    KEYLIME_VERIFIER_MAX_RETRIES: '2',
    KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['rsassa', 'ecdsa']",
    KEYLIME_TENANT_RETRY_INTERVAL: '0.05',
    KEYLIME_TENANT_EXPONENTIAL_BACKOFF: 'false',
    KEYLIME_TENANT_MAX_RETRIES: '2',
    KEYLIME_TENANT_REQUEST_TIMEOUT: '5',
    KEYLIME_CA_PASSWORD: 'secret',
  })
  readonly registered = new Map<string, Record<string, unknown>>()
  readonly machines: SimulatedAgent[] = []
  readonly eks = new Map<string, SoftwareEk>()
  events: TenantEvent[] = []
  verifier!: RunningVerifier
  registrar!: Listening
  maker!: Awaited<ReturnType<typeof root>>

  async start(): Promise<void> {
    giveNotifierKey(this.home.dir)
    this.verifier = await startVerifier(loadVerifierSettings(this.home.env), testLogger('verifier'))
    this.registrar = await serve({
      host: '127.0.0.1',
      port: 0,
      tls: this.serverTls(),
      versions: ['2.5', '2.6'],
      logger: silentLogger,
      routes: [
        {
          method: 'GET',
          path: '/version',
          access: 'public',
          handle: () => ({ results: { current_version: '2.6', supported_versions: ['2.5', '2.6', '3.0'] } }),
        },
        { method: 'GET', path: '/v:version/agents', access: 'admin', handle: () => ({ results: { uuids: [...this.registered.keys()] } }) },
        {
          method: 'GET',
          path: '/v:version/agents/:id',
          access: 'admin',
          handle: ({ params }) => this.#found(params['id'], (results) => ({ results })),
        },
        {
          method: 'DELETE',
          path: '/v:version/agents/:id',
          access: 'admin',
          handle: ({ params }) =>
            this.#found(params['id'], () => {
              this.registered.delete(params['id'] ?? '')
              return {}
            }),
        },
      ],
    })
    this.home.env['KEYLIME_TENANT_VERIFIER_PORT'] = String(this.verifier.port)
    this.home.env['KEYLIME_TENANT_REGISTRAR_PORT'] = String(this.registrar.port)
    this.maker = await root('Maker', { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR })
    fs.mkdirSync(this.path('tpm_cert_store'))
    fs.writeFileSync(this.path('tpm_cert_store', 'maker.pem'), this.maker.certificate.pem)
  }

  async stop(): Promise<void> {
    await this.registrar.close(0)
    await this.verifier.stop()
    for (const machine of this.machines) await machine.stop().catch(() => undefined)
    this.home.remove()
  }

  /** Of a server that takes whoever has a certificate of the verifier's authority. */
  serverTls() {
    const read = (name: string) => fs.readFileSync(this.path('cv_ca', name), 'utf8')
    const files = { cert: read('server-cert.crt'), key: read('server-private.pem'), ca: [read('cacert.crt')] }
    return { ...files, requireCertificate: true, clients: anyClient }
  }

  /** Takes the machines of a test that is over out of attestation. */
  async retire(): Promise<void> {
    const admin = adminClient(this.home.dir, this.verifier.port)
    try {
      await retireAll(admin)
    } finally {
      await admin.close()
    }
  }

  path(...parts: string[]): string {
    return path.join(this.home.dir, ...parts)
  }

  file(name: string, content: string | Buffer): string {
    fs.mkdirSync(path.dirname(this.path(name)), { recursive: true })
    fs.writeFileSync(this.path(name), content)
    return this.path(name)
  }

  /** A machine that is registered under this id. */
  async machine(id: string, changes: Record<string, unknown> = {}): Promise<SimulatedAgent> {
    const agent = await simulatedAgent(fs.readFileSync(this.path('cv_ca/cacert.crt'), 'utf8'))
    const ek = softwareEk()
    this.eks.set(id, ek)
    const certificate = ekCertificate(this.maker, ek)
    expect(sameKey(parsePublicArea(ek.public).key, certificate.publicKey)).toBe(true)
    this.machines.push(agent)
    this.registered.set(id, {
      agent_id: id,
      aik_tpm: agent.ak.public.toString('base64'),
      ek_tpm: ek.public.toString('base64'),
      ekcert: certificate.der.toString('base64'),
      mtls_cert: agent.certificate,
      ip: '127.0.0.1',
      port: agent.port,
      regcount: 1,
      ...changes,
    })
    return agent
  }

  /** Runs a command of the tenant; its events are in `events`. */
  async run(command: TenantCommand, options: Partial<TenantOptions> = {}, env: Record<string, string> = {}): Promise<TenantResult> {
    this.events = []
    const all: TenantOptions = { command, wait: true, timeoutSeconds: 5, ...options }
    const settings = loadTenantSettings({ ...this.home.env, ...env })
    return withTenant({ options: all, settings, report: (event) => this.events.push(event) }, (context) =>
      runTenantCommand(context, command),
    )
  }

  happened(): string[] {
    return this.events.map(({ type }) => type).filter((type) => type !== 'working')
  }

  #found<T>(id: string | undefined, reply: (results: Record<string, unknown>) => T): T | { status: number; message: string } {
    const results = this.registered.get(id ?? '')
    return results ? reply(results) : { status: 404, message: `Agent with ID '${id}' not found` }
  }
}
