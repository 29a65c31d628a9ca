import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { LEASE_MS } from '../../../src/io/db/lease-store.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { endAll, listens, type RoleProcess, startRole } from '../../chaos/role-process.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'
import { runs } from '../../thorough.ts'

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

async function machineOf(id: string): Promise<SimulatedAgent> {
  const made = await simulatedAgent(fs.readFileSync(path.join(sides[0]!.home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  machines.set(id, made)
  made.onQuote = () => {
    const now = performance.now()
    const gap = gaps.get(id) ?? { last: now, longest: 0 }
    gaps.set(id, { last: now, longest: Math.max(gap.longest, now - gap.last) })
  }
  return made
}

async function machine(id: string, at: Side, changes: Record<string, unknown> = { v: V }): Promise<SimulatedAgent> {
  const made = await machineOf(id)
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

/** When it began to serve, by its own clock, each time. */
const starts = ({ home }: Side) => {
  const lines = fs.readFileSync(path.join(home.dir, 'audit.log'), 'utf8').split('\n')
  return lines.filter((line) => line.includes('"verifier_started"')).map((line) => Date.parse(JSON.parse(line).time))
}

test.each([60, -60])('clocks of verifiers do not count: one that is %i s ahead has its share, and keeps it', async (seconds) => {
  await sides[1]!.role.kill('SIGKILL')
  Object.assign(sides[1]!.home.env, {
    LD_PRELOAD: FAKETIME,
    FAKETIME: `${seconds > 0 ? '+' : ''}${seconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  })
  const count = starts(sides[1]!).length
  const before = Date.now()
  await again(sides[1]!)
  const start = await until('its start', () => starts(sides[1]!)[count])
  expect(start - seconds * 1000).toBeGreaterThanOrEqual(before - 1000) // it has another time indeed
  expect(start - seconds * 1000).toBeLessThanOrEqual(Date.now() + 1000)
  await sleep(LEASE_MS) // until then the one that was killed has its half
  await inHalf(6)
  const shares = JSON.stringify((await leased()).toSorted())
  await sleep(4000)
  expect(JSON.stringify((await leased()).toSorted())).toBe(shares)
  await askedSince(machines.keys())
  for (const id of machines.keys()) expect((await historyOf(id)).filter((type) => type === 'agent_failed')).toEqual([])
  await sides[1]!.role.kill('SIGKILL')
  for (const name of ['LD_PRELOAD', 'FAKETIME', 'FAKETIME_DONT_FAKE_MONOTONIC']) delete sides[1]!.home.env[name]
  await again(sides[1]!)
  await sleep(LEASE_MS)
  await inHalf(6)
})

/** What happens to a verifier, or to the server, and whether the next thing waits until all machines are asked again. */
const trouble = fc.record({
  what: fc.oneof(
    { weight: 2, arbitrary: fc.constant({ do: 'kill' as const, ms: 0 }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('stop' as const), ms: fc.integer({ min: 1000, max: 9000 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom('fast' as const, 'immediate' as const), ms: fc.integer({ min: 0, max: 1500 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ do: 'add' as const, ms: 0 }) },
    { weight: 1, arbitrary: fc.constant({ do: 'lie' as const, ms: 0 }) },
  ),
  at: fc.constantFrom(0, 1),
  settles: fc.boolean(),
})
type Trouble = typeof trouble extends fc.Arbitrary<infer T> ? T : never

/** What the machine of a test may be slower. */
const SLOW_MS = 1500
const INTERVAL_MS = 200
let made = 0

async function happens({ what, at }: Trouble): Promise<void> {
  const which = sides[at]!
  switch (what.do) {
    case 'kill':
      await which.role.kill('SIGKILL')
      return again(which)
    case 'stop':
      which.role.child.kill('SIGSTOP')
      await sleep(what.ms)
      return void which.role.child.kill('SIGCONT')
    case 'fast':
    case 'immediate':
      await server.stop(what.do)
      await sleep(what.ms)
      return server.start()
    case 'add':
      return enrols(`r${++made}`, which)
    case 'lie':
      return lies(which)
  }
}

/** Whatever became of the answer: it is enrolled. */
async function enrols(id: string, which: Side): Promise<void> {
  const own = await machineOf(id)
  await until(
    `enrolment of ${id}`,
    async () => {
      const answer = await which.admin.request('POST', `/v2.6/agents/${id}`, { body: enrolmentBody(own, { v: V }) }).catch(() => null)
      return answer?.status === 200 || answer?.status === 409
    },
    40,
  )
}

/** A machine that lies from its second attestation on. */
async function lies(which: Side): Promise<void> {
  const id = `liar${++made}`
  await enrols(id, which)
  const liar = machines.get(id)!
  await until('quotes', () => liar.quotes.length > 1, 40)
  liar.answer.set('/quotes/integrity', (_query, honest) => ({
    status: 200,
    body: JSON.stringify({ code: 200, status: 'Success', results: { ...honest, quote: 'rAAAA:AAAA:AAAA' } }),
  }))
}

const honest = () => [...machines.keys()].filter((id) => !id.startsWith('liar'))

/** Each trouble may leave a machine for a lease and an interval; one that comes before the last is over, for another. */
function nobodyWasForgotten(troubles: readonly Trouble[]): void {
  const each = LEASE_MS + INTERVAL_MS + SLOW_MS
  const most = troubles.length * each + troubles.reduce((sum, { what }) => sum + (what.do === 'stop' ? 0 : what.ms), 0)
  for (const id of honest()) {
    const gap = gaps.get(id)!
    expect([id, JSON.stringify(troubles), gap.longest < most || gap.longest]).toEqual([id, JSON.stringify(troubles), true])
    gap.longest = 0
  }
}

async function allIsStored(): Promise<void> {
  for (const [id, { received }] of machines) {
    const isLiar = id.startsWith('liar')
    if (isLiar) await until(`the verdict on ${id}`, async () => (await historyOf(id)).includes('agent_failed'), 40)
    else await until(`V of ${id}`, async () => (await historyOf(id)).includes('v_delivered'), 40)
    const events = await historyOf(id)
    const notices = await server.query(`select 1 from keylime_verifier.revocations where agent_id = '${id}'`)
    const failed = events.filter((type) => type === 'agent_failed').length
    expect([id, failed, notices.length]).toEqual([id, isLiar ? 1 : 0, isLiar ? 1 : 0])
    if (isLiar) expect(new Set(received.map(String)).size).toBeLessThanOrEqual(1)
    else expect([id, events.filter((type) => type === 'v_released').length, new Set(received.map(String)).size]).toEqual([id, 1, 1])
  }
}

test('whatever happens to verifiers and server: each V leaves once, each verdict is stored once, nobody is forgotten', async () => {
  const schedule = fc.array(trouble, { minLength: 8, maxLength: 10 })
  const run = async (troubles: Trouble[]) => {
    await askedSince(honest())
    for (const id of honest()) gaps.get(id)!.longest = 0
    const lie: Trouble = { what: { do: 'lie', ms: 0 }, at: 0, settles: false } // one in each run at least
    let open: Trouble[] = []
    for (const each of [lie, ...troubles, { ...lie, settles: true }]) {
      await happens(each)
      open.push(each)
      if (!each.settles) continue
      await askedSince(honest())
      nobodyWasForgotten(open)
      open = []
    }
    await allIsStored()
  }
  await fc.assert(fc.asyncProperty(schedule, run), { numRuns: runs(6, 1), endOnFailure: true })
}, 1_500_000)
