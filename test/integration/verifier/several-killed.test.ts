import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LEASE_MS } from '../../../src/io/db/lease-store.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { endAll, listens, type RoleProcess, startRole } from '../../chaos/role-process.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'

/** Verifiers as processes, which are killed, stopped, and have clocks of their own. */
const TAKEN_OVER_MS = 10_000
const V = Buffer.alloc(32, 'v').toString('base64')
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

interface Side {
  home: ReturnType<typeof temporaryKeylimeDir>
  role: RoleProcess
  admin: ApiClient
}

let server: TestPostgres
const sides: Side[] = []
const machines = new Map<string, SimulatedAgent>()
/** The longest time in which nobody asked a machine. */
const gaps = new Map<string, { last: number; longest: number }>()

async function side(env: NodeJS.ProcessEnv = {}): Promise<Side> {
  const [port] = (await freePorts(1)) as [number]
  const home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.2',
    KEYLIME_VERIFIER_HOST_REGISTRAR: 'false',
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_DATABASE_URL: server.url(),
  })
  if (sides[0]) fs.cpSync(path.join(sides[0].home.dir, 'cv_ca'), path.join(home.dir, 'cv_ca'), { recursive: true })
  giveNotifierKey(home.dir)
  Object.assign(home.env, env)
  const started = { home, role: await started_(home.env, port), admin: adminClient(home.dir, port) }
  sides.push(started)
  return started
}

async function started_(env: NodeJS.ProcessEnv, port: number): Promise<RoleProcess> {
  const role = startRole(['verifier'], env)
  if (!(await listens(role, port))) throw new Error(role.text())
  return role
}

async function again(of: Side): Promise<void> {
  of.role = await started_(of.home.env, Number(of.home.env['KEYLIME_VERIFIER_PORT']))
}

async function machine(id: string, at: Side, changes: Record<string, unknown> = { v: V }): Promise<SimulatedAgent> {
  const made = await simulatedAgent(fs.readFileSync(path.join(sides[0]!.home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  machines.set(id, made)
  made.onQuote = () => {
    const now = performance.now()
    const gap = gaps.get(id) ?? { last: now, longest: 0 }
    gaps.set(id, { last: now, longest: Math.max(gap.longest, now - gap.last) })
  }
  expect((await at.admin.request('POST', `/v2.6/agents/${id}`, { body: enrolmentBody(made, changes) })).status).toBe(200)
  return made
}

const historyOf = async (id: string) =>
  (
    await server.query<{ type: string }>(
      `select event::jsonb ->> 'type' as type from keylime_verifier.history where agent_id = '${id}' order by id`,
    )
  ).map(({ type }) => type)

/** Ids of the machines of each verifier that lives, by its process. */
const leased = async () =>
  (await server.query<{ ids: string[] }>('select array_agg(agent_id) as ids from keylime_verifier.leases group by run')).map(
    ({ ids }) => ids,
  )

const inHalf = (count: number) =>
  until('shares', async () => String((await leased()).map((ids) => ids.length)) === `${count / 2},${count / 2}`, 20)

async function askedSince(ids: Iterable<string>): Promise<void> {
  const before = new Map([...ids].map((id) => [id, machines.get(id)!.quotes.length]))
  await until('quotes of all', () => [...before].every(([id, count]) => machines.get(id)!.quotes.length > count + 1), 20)
}

beforeAll(async () => {
  server = await startPostgres()
  await side()
  for (let i = 0; i < 6; i++) await machine(`m${i}`, sides[0]!)
  await side()
  await inHalf(6)
})
afterAll(async () => {
  for (const { admin, home } of sides) {
    await admin.close()
    home.remove()
  }
  await endAll()
  for (const made of machines.values()) await made.stop().catch(() => undefined)
  await server.remove()
})

test('machines of a verifier that is killed are asked by another within ten seconds; it gets its share back when it returns', async () => {
  await sides[1]!.role.kill('SIGKILL')
  const killed = performance.now()
  await until('all at one', async () => (await leased()).map((ids) => ids.length).includes(6), 20)
  await askedSince(machines.keys())
  expect(performance.now() - killed).toBeLessThan(TAKEN_OVER_MS + 1000)
  await again(sides[1]!)
  const back = performance.now()
  await inHalf(6)
  expect(performance.now() - back).toBeLessThan(TAKEN_OVER_MS)
  await askedSince(machines.keys())
  for (const [id, made] of machines) expect([id, made.received.length]).toEqual([id, 1])
})

test.each([0, 1])(
  'a verifier that is stopped for longer than a lease, with a good answer in its hands, releases nothing when it goes on (%i)',
  async (which) => {
    const stopped = sides[which]!
    const id = `stopped${which}`
    const made = await machine(id, stopped, { v: null })
    await until('an attestation', () => made.quotes.length > 2)
    // V comes with an update; the verifier that does it is stopped as soon as it has asked for the quote by which V would leave.
    const onQuote = made.onQuote
    const asked = new Promise<void>((resolve) => {
      made.onQuote = () => {
        onQuote()
        if (stopped.role.child.kill('SIGSTOP')) resolve()
        made.onQuote = onQuote
      }
    })
    void stopped.admin.request('PUT', `/v2.6/agents/${id}`, { body: { v: V } }).catch(() => undefined)
    await asked
    await until('the other', async () => (await sides[1 - which]!.admin.request('GET', `/v2.6/agents/${id}`)).status === 200)
    await sleep(LEASE_MS)
    await until('somebody else', async () => (await leased()).some((ids) => ids.length === machines.size), 20)
    stopped.role.child.kill('SIGCONT')
    await askedSince(machines.keys())
    await inHalf(machines.size + (machines.size % 2)).catch(() => undefined)
    const released = (await historyOf(id)).filter((type) => type === 'v_released').length
    expect(made.received.length).toBeLessThanOrEqual(1)
    expect(released).toBe(made.received.length)
    expect((await historyOf(id)).filter((type) => type === 'agent_failed')).toEqual([])
    await sides[0]!.admin.request('DELETE', `/v2.6/agents/${id}`)
    machines.delete(id)
    await made.stop()
  },
)

test('clocks of verifiers do not count: one that is a minute ahead has its share, and keeps it', async () => {
  await sides[1]!.role.kill('SIGKILL')
  Object.assign(sides[1]!.home.env, { LD_PRELOAD: FAKETIME, FAKETIME: '+60s', FAKETIME_DONT_FAKE_MONOTONIC: '1' })
  await again(sides[1]!)
  await sleep(LEASE_MS) // until then the one that was killed has its half
  await inHalf(6)
  const before = JSON.stringify((await leased()).toSorted())
  await sleep(4000)
  expect(JSON.stringify((await leased()).toSorted())).toBe(before)
  await askedSince(machines.keys())
  for (const id of machines.keys()) expect((await historyOf(id)).filter((type) => type === 'agent_failed')).toEqual([])
  await sides[1]!.role.kill('SIGKILL')
  for (const name of ['LD_PRELOAD', 'FAKETIME', 'FAKETIME_DONT_FAKE_MONOTONIC']) delete sides[1]!.home.env[name]
  await again(sides[1]!)
})

test('whatever happens to verifiers and server: each V leaves once, each verdict is stored once, nobody is forgotten', async () => {
  let seed = 20_261_130
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed % below
  }
  for (const gap of gaps.values()) gap.longest = 0
  const steps: string[] = []
  for (let step = 0; step < 10; step++) {
    const which = sides[random(2)]!
    const what = random(4)
    steps.push(`${what} at ${sides.indexOf(which)}`)
    if (what === 0) {
      await which.role.kill('SIGKILL')
      await again(which)
    } else if (what === 1) {
      which.role.child.kill('SIGSTOP')
      await sleep(1000 + random(8000))
      which.role.child.kill('SIGCONT')
    } else if (what === 2) {
      await server.stop(random(2) ? 'fast' : 'immediate')
      await sleep(random(1500))
      await server.start()
    } else {
      const id = `r${step}`
      const add = () =>
        machine(id, which).then(
          () => true,
          () => false,
        )
      await until('an enrolment', async () => machines.has(id) || (await add()), 30)
    }
  }
  await askedSince(machines.keys())
  for (const [id, made] of machines) {
    await until(`V of ${id} (${steps})`, async () => (await historyOf(id)).includes('v_delivered'), 40)
    const events = await historyOf(id)
    expect([id, events.filter((type) => type === 'v_released').length, new Set(made.received.map(String)).size]).toEqual([id, 1, 1])
    expect([id, events.filter((type) => type === 'agent_failed')]).toEqual([id, []])
  }
  await sleep(2000)
  for (const [id, { longest }] of gaps) if (machines.has(id)) expect([id, longest < 2 * TAKEN_OVER_MS]).toEqual([id, true])
}, 400_000)
