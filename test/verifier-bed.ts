import fs from 'node:fs'
import path from 'node:path'
import type { ApiClient } from '../src/io/http/api-client.ts'
import type { Logger } from '../src/io/log/logger.ts'
import { type RunningVerifier, startVerifier } from '../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../src/roles/verifier/verifier-settings.ts'
import { startPostgres, type TestPostgres } from './postgres.ts'
import { giveNotifierKey } from './rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from './servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from './simulated-agent.ts'

/** `KEYLIME_TEST_DATABASE=postgresql`: every test of a verifier, on a server. */
const ON_A_SERVER = process.env['KEYLIME_TEST_DATABASE'] === 'postgresql'

/** A verifier in a directory of its own, its administrator, and simulated machines that end with it. */
export class VerifierBed {
  readonly home: ReturnType<typeof temporaryKeylimeDir>
  verifier!: RunningVerifier
  admin!: ApiClient
  readonly machines: SimulatedAgent[] = []
  #server: TestPostgres | null = null

  /** `notifierKey: 'made'` lets the verifier make it at its first start, as it does for operators. */
  constructor(settings: Record<string, string> = {}, { notifierKey = 'given' }: { notifierKey?: 'given' | 'made' } = {}) {
    this.home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1', ...settings })
    if (notifierKey === 'given') giveNotifierKey(this.home.dir)
  }

  async start(logger: Logger = testLogger('verifier')): Promise<void> {
    if (ON_A_SERVER && !this.home.env['KEYLIME_VERIFIER_DATABASE_URL']) {
      this.#server ??= await startPostgres()
      this.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = this.#server.url()
    }
    this.verifier = await startVerifier(loadVerifierSettings(this.home.env), logger)
    this.admin = adminClient(this.home.dir, this.verifier.port)
  }

  /** Where all that it stores is, and nothing else: its own directory, and that of its server. */
  get directories(): string[] {
    return [this.home.dir, ...(this.#server ? [this.#server.directory] : [])]
  }

  async restart(): Promise<void> {
    await this.admin.close()
    await this.verifier.stop()
    await this.start()
  }

  async stop(): Promise<void> {
    await this.admin.close()
    await this.verifier.stop()
    for (const machine of this.machines) await machine.stop().catch(() => {})
    await this.#server?.remove()
    this.home.remove()
  }

  /** Takes the machines of a test that is over out of attestation: each is asked many times a second, and a file has dozens. */
  async retire(): Promise<void> {
    await retireAll(this.admin)
  }

  /** PEM of the authority that vouches for the verifier and its administrator. */
  get ca(): string {
    return fs.readFileSync(path.join(this.home.dir, 'cv_ca/cacert.crt'), 'utf8')
  }

  async machine(): Promise<SimulatedAgent> {
    const machine = await simulatedAgent(this.ca)
    this.machines.push(machine)
    return machine
  }

  add(id: string, machine: SimulatedAgent, changes: Record<string, unknown> = {}) {
    return this.admin.request('POST', `/v2.6/agents/${id}`, { body: enrolmentBody(machine, changes) })
  }

  // biome-ignore lint/suspicious/noExplicitAny: the status object as it came
  async status(id: string): Promise<any> {
    return (await this.admin.request('GET', `/v2.6/agents/${id}`)).results
  }

  inState(id: string, state: number) {
    return until(`state ${state} of ${id}`, async () => (await this.status(id)).operational_state === state)
  }
}

/** Deletes whatever is enrolled. */
export async function retireAll(admin: ApiClient): Promise<void> {
  const { results } = await admin.request('GET', '/v2.6/agents/')
  for (const id of (results as { uuids: string[][] }).uuids.flat()) await admin.request('DELETE', `/v2.6/agents/${id}`)
}
