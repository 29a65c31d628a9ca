import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { BUG, endAll, listens, type RoleProcess, runRole, startRole, startScript, wholeTest } from '../../chaos/role-process.ts'
import { freePorts, temporaryKeylimeDir, until } from '../../servers.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'

/** Debian package libfaketime: what each process is told of the time, changed while it runs. */
const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'
const canRun = fs.existsSync(LIBRARY) && process.getuid?.() === 0

/** Seconds: each look at what becomes of something starts a process. */
const PATIENCE = 90

/** Verifier with registrar, an agent with a software TPM, and the tenant: processes that have one clock, which is not that of the test. */
class Installation {
  readonly home = temporaryKeylimeDir()
  readonly agentDir = path.join(this.home.dir, 'machine')
  readonly copy = path.join(this.agentDir, 'cacert.crt')
  readonly #clock = path.join(this.home.dir, 'clock')
  #tpm!: Swtpm
  #ports!: number[]
  server!: RoleProcess
  agent!: RoleProcess

  async open(): Promise<void> {
    this.#ports = await freePorts(4)
    this.#tpm = await startSwtpm()
    fs.mkdirSync(this.agentDir)
    this.set('+0')
  }

  async close(): Promise<void> {
    await endAll()
    await this.#tpm.stop()
    try {
      execFileSync('umount', [path.join(this.agentDir, 'secure')], { stdio: 'ignore' })
    } catch {}
    this.home.remove()
  }

  /** @param offset from now on, for all processes, such as `+400d`. */
  set(offset: string): void {
    fs.writeFileSync(`${this.#clock}.new`, `${offset}\n`)
    fs.renameSync(`${this.#clock}.new`, this.#clock)
  }

  get #env(): NodeJS.ProcessEnv {
    const [verifier, registrar, registrarTls] = this.#ports.map(String)
    return {
      ...this.home.env,
      KEYLIME_VERIFIER_PORT: verifier,
      KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.2',
      KEYLIME_VERIFIER_RETRY_INTERVAL: '0.2',
      KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
      KEYLIME_VERIFIER_MAX_RETRIES: '3',
      KEYLIME_REGISTRAR_PORT: registrar,
      KEYLIME_REGISTRAR_TLS_PORT: registrarTls,
      KEYLIME_TENANT_VERIFIER_PORT: verifier,
      KEYLIME_TENANT_REGISTRAR_PORT: registrarTls,
      KEYLIME_TENANT_REQUIRE_EK_CERT: 'False',
      KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['ecdsa']",
    }
  }

  get #agentEnv(): NodeJS.ProcessEnv {
    return {
      KEYLIME_DIR: this.agentDir,
      TCTI: this.#tpm.tcti,
      KEYLIME_AGENT_UUID: 'old-machine',
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_PORT: String(this.#ports[3]),
      KEYLIME_AGENT_CONTACT_IP: '127.0.0.1',
      KEYLIME_AGENT_CONTACT_PORT: String(this.#ports[3]),
      KEYLIME_AGENT_REGISTRAR_PORT: String(this.#ports[1]),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: this.copy,
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
      KEYLIME_AGENT_IMA_ML_PATH: path.join(this.agentDir, 'ima'),
    }
  }

  readonly #faked = {
    env: { LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: this.#clock, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
  }

  async startServer(): Promise<void> {
    this.server = startRole(['verifier'], this.#env, this.#faked)
    expect([await listens(this.server, this.#ports[0]!), await listens(this.server, this.#ports[1]!)]).toEqual([true, true])
  }

  async startAgent(): Promise<void> {
    this.agent = startRole(['agent'], this.#agentEnv, this.#faked)
    expect([await listens(this.agent, this.#ports[3]!), this.agent.text()]).toEqual([true, expect.not.stringMatching(BUG)])
  }

  /** Any command of the tenant or the authority, at the time of the others. */
  run = (...args: string[]) => runRole(args, this.#env, this.#faked)

  /** Asks the verifier again and again over one connection. */
  keep = () =>
    startScript(
      path.resolve(import.meta.dirname, '../../chaos/kept-connection.ts'),
      [this.path('cv_ca'), String(this.#ports[0]), '/v2.6/agents/old-machine'],
      this.#faked,
    )

  path = (...parts: string[]) => path.join(this.home.dir, ...parts)

  /** What the tenant says of the machine. @throws what it says when it cannot. */
  async machine(): Promise<{ state: string; attestations: number }> {
    const { code, text } = await this.run('tenant', 'list', '--json', '--no-ask')
    if (code !== 0) throw new Error(`${code}: ${text}`)
    return JSON.parse(text.split('\n').find((line) => line.startsWith('{"result"')) ?? '').machines[0]
  }

  /** It is attested, and again. */
  async isAttestedOn(): Promise<void> {
    const before = await until('that it is attested', () => this.machine().catch(() => null), PATIENCE)
    const after = await until(
      'further attestations',
      async () => {
        const now = await this.machine()
        return now.attestations > before.attestations && now.state === 'attested'
      },
      PATIENCE,
    )
    expect(after).toBe(true)
  }

  /** The services are told that files changed, which they would see by themselves. */
  async takesFiles(what: RegExp): Promise<void> {
    for (const role of [this.server, this.agent]) role.child.kill('SIGHUP')
    await until(String(what), () => what.test(this.server.text()), PATIENCE)
  }
}

const ERROR = /^\S+ ERROR .*$/gm

;(canRun ? describe : describe.skip)('clocks that are years ahead', () => {
  const place = new Installation()
  beforeAll(async () => {
    await place.open()
    await place.startServer()
    fs.copyFileSync(place.path('cv_ca/cacert.crt'), place.copy)
    await place.startAgent()
    const { code, text } = await place.run('tenant', 'add', '-u', 'old-machine', '-f', place.copy)
    expect([code, text]).toEqual([0, expect.any(String)])
  }, 400_000)
  afterAll(() => place.close())

  test('certificates are made anew at two thirds of their life, and no connection is dropped for it', async () => {
    const kept = place.keep()
    await until('answers', () => /ok 20/.test(kept.text()), PATIENCE)
    place.set('+250d')
    await until(
      'other certificates',
      () => /server-cert.crt is renewed[\s\S]*client-cert.crt is renewed/.test(place.server.text()),
      PATIENCE,
    )
    await place.takesFiles(/certificates and trusted CAs are read again/)
    await place.isAttestedOn()
    const answers = kept.text()
    await until('further answers', () => kept.text() !== answers, PATIENCE)
    expect(kept.text()).not.toMatch(/closed|answered|rror/)
    await kept.kill()
  }, 400_000)

  test('after 370 days everything goes on, without an error', async () => {
    place.set('+370d')
    await place.isAttestedOn()
    await place.isAttestedOn()
    expect([...place.server.text().matchAll(ERROR), ...place.agent.text().matchAll(ERROR)].map(([line]) => line)).toEqual([])
  }, 400_000)

  wholeTest(
    'what was switched off for two years starts again by itself',
    async () => {
      await place.agent.kill()
      await place.server.kill()
      place.set('+1100d')
      await place.startServer()
      await place.startAgent()
      await place.isAttestedOn()
    },
    400_000,
  )

  test('after 11 years the authority has ended: everybody says so, and how to go on; then the machine is attested on, as it was enrolled', async () => {
    place.set('+4020d')
    await until(
      'words',
      () =>
        /cannot be renewed: the authority .* ended on 20\d\d-\d\d-\d\d; make the next one with `keylime ca rotate`/.test(
          place.server.text(),
        ),
      40,
    )
    const { code, text } = await place.run('tenant', 'list')
    expect([code, text]).toEqual([4, expect.stringMatching(/cacert.crt ended on 20\d\d-[\s\S]*hint: .*`keylime ca rotate`/)])
    await place.server.kill()
    const refused = await place.run('verifier')
    expect([refused.code, refused.text]).toEqual([
      expect.any(Number),
      expect.stringMatching(/error: the authority .* ended on [\s\S]*hint: .*`keylime ca rotate`/),
    ])
    const rotated = await place.run('ca', 'rotate')
    expect([rotated.code, rotated.text]).toEqual([0, expect.stringMatching(/need a visit/)])
    await place.startServer()
    fs.copyFileSync(place.path('cv_ca/cacert.crt'), place.copy)
    place.agent.child.kill('SIGHUP')
    await place.isAttestedOn()
    const finished = await until(
      'that it is known',
      async () => {
        const said = await place.run('ca', 'rotate', '--finish')
        return said.code === 0 && said.text
      },
      40,
    )
    expect(finished).toMatch(/no longer counts/)
    fs.copyFileSync(place.path('cv_ca/cacert.crt'), place.copy)
    await place.takesFiles(/certificates and trusted CAs are read again/)
    await place.isAttestedOn()
    const { text: history } = await place.run('tenant', 'history', '-u', 'old-machine')
    expect(history).not.toMatch(/failed/)
  }, 600_000)
})
