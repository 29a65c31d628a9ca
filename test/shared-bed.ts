import fs from 'node:fs'
import path from 'node:path'
import type { ApiClient } from '../src/io/http/api-client.ts'
import { type RunningVerifier, startVerifier } from '../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../src/roles/verifier/verifier-settings.ts'
import { startPostgres, type TestPostgres } from './postgres.ts'
import { type PostgresProxy, postgresProxy } from './postgres-proxy.ts'
import { giveNotifierKey } from './rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from './servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from './simulated-agent.ts'

/** One of several verifiers, its administrator, and the way between it and the database. */
export interface Side {
  readonly home: ReturnType<typeof temporaryKeylimeDir>
  readonly proxy: PostgresProxy
  verifier: RunningVerifier
  admin: ApiClient
}

/** Verifiers that share a database, each in a directory of its own with the same authority. */
export class SharedBed {
  server!: TestPostgres
  readonly sides: Side[] = []
  readonly machines = new Map<string, SimulatedAgent>()
  readonly #settings: Record<string, string>
  #homes = 0

  constructor(settings: Record<string, string> = {}) {
    this.#settings = { KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1', ...settings }
  }

  async start(count: number): Promise<void> {
    this.server ??= await startPostgres()
    while (this.sides.length < count) this.sides.push(await this.#side())
  }

  /** A directory and the way to the database. */
  async home(): Promise<Pick<Side, 'home' | 'proxy'>> {
    const proxy = await postgresProxy(this.server.port)
    const url = this.server.url().replace(String(this.server.port), String(proxy.port))
    const name = `verifier-${++this.#homes}`
    const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_UUID: name, ...this.#settings, KEYLIME_VERIFIER_DATABASE_URL: url })
    const [first] = this.sides
    if (first) fs.cpSync(path.join(first.home.dir, 'cv_ca'), path.join(home.dir, 'cv_ca'), { recursive: true })
    giveNotifierKey(home.dir)
    return { home, proxy }
  }

  async #side(): Promise<Side> {
    const { home, proxy } = await this.home()
    const verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
    return { home, proxy, verifier, admin: adminClient(home.dir, verifier.port) }
  }

  async end(side: Side): Promise<void> {
    this.sides.splice(this.sides.indexOf(side), 1)
    await side.admin.close()
    await side.verifier.stop()
    await side.proxy.close()
    side.home.remove()
  }

  async stop(): Promise<void> {
    for (const side of [...this.sides]) await this.end(side)
    for (const machine of this.machines.values()) await machine.stop().catch(() => undefined)
    await this.server.remove()
  }

  async machine(id: string): Promise<SimulatedAgent> {
    const ca = fs.readFileSync(path.join(this.sides[0]!.home.dir, 'cv_ca/cacert.crt'), 'utf8')
    const machine = await simulatedAgent(ca)
    this.machines.set(id, machine)
    return machine
  }

  async add(id: string, side: Side, changes: Record<string, unknown> = {}): Promise<number> {
    const machine = this.machines.get(id) ?? (await this.machine(id))
    return (await side.admin.request('POST', `/v2.6/agents/${id}`, { body: enrolmentBody(machine, changes) })).status
  }

  // biome-ignore lint/suspicious/noExplicitAny: the status object as it came
  async status(id: string, side: Side = this.sides[0]!): Promise<any> {
    return (await side.admin.request('GET', `/v2.6/agents/${id}`)).results
  }

  inState(id: string, state: number, side?: Side) {
    return until(`state ${state} of ${id}`, async () => (await this.status(id, side)).operational_state === state)
  }

  /** How many machines each verifier has that lives. */
  async shares(): Promise<number[]> {
    const rows = await this.server.query<{ n: string }>(
      `select count(l.agent_id) as n from keylime_verifier.verifiers v left join keylime_verifier.leases l using (run)
       where v.seen_at > clock_timestamp() - interval '6 seconds' group by v.run order by n`,
    )
    return rows.map(({ n }) => Number(n))
  }
}
