import { jest } from '@jest/globals'
import { type Kysely, sql } from 'kysely'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { openDatabase } from '../../../../../src/io/db/open-database.ts'
import { insertRevocation, revocationStore } from '../../../../../src/io/db/revocation-store.ts'
import type { RevocationTables, StoredRevocation } from '../../../../../src/io/db/revocation-tables.ts'
import { VERIFIER_MIGRATIONS } from '../../../../../src/io/db/verifier-schema.ts'
import { NoticeOutbox } from '../../../../../src/roles/verifier/revocation/notice-outbox.ts'
import {
  createRevocationNotifier,
  type RevocationNotifierOptions,
} from '../../../../../src/roles/verifier/revocation/revocation-notifier.ts'
import { simulatedTime } from '../../../../simulated-time.ts'

interface Asked {
  id: string
  /** Of the notice; undefined for a question what became of one. */
  text: string | undefined
}
type Answer = (asked: Asked) => Promise<'acted' | 'waiting'>

const HANGS = new Promise<never>(() => undefined)
const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  jest.useRealTimers()
})

/** The notifier over a real database; time and machines are simulated. Machines named `push…` fetch their notices. */
async function bed(machines: readonly string[], answer: Answer) {
  const db = await openDatabase<RevocationTables>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const time = simulatedTime()
  const counts = { inFlight: 0, most: 0, questions: 0, errors: 0 }
  const told: { id: string; text: string; at: number }[] = []
  const written: number[] = []
  for (const id of machines)
    await sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, announced_severity, failures, v_state, supported_version, polled)
      values(${id}, 'default', '{}', 9, 6, '[]', 'none', '2.6', 1)`.execute(db)
  const asks = async (id: string, text: string | undefined) => {
    counts.most = Math.max(counts.most, ++counts.inFlight)
    if (text === undefined) counts.questions++
    const outcome = await answer({ id, text }).finally(() => counts.inFlight--)
    if (text !== undefined) told.push({ id, text, at: time.clock.monotonic() })
    return { status: 200, body: Buffer.from(JSON.stringify({ code: 200, status: 'Success', results: { outcome, reason: null } })) }
  }
  const agentOf = (agentId: string) => ({
    ...{ introduced: true, enrolment: { agentId }, state: { supportedVersion: '2.6' } },
    connection: agentId.startsWith('push') ? null : { request: ({ body }: { body?: { msg: string } }) => asks(agentId, body?.msg) },
  })
  const agents = new Map(machines.map((id) => [id, agentOf(id)]))
  const store = revocationStore(db as Kysely<unknown>)
  const outbox = new NoticeOutbox(time.clock)
  const notifier = createRevocationNotifier({
    store: {
      ...store,
      record: (results: Parameters<typeof store.record>[0]) => {
        written.push(results.length)
        return store.record(results)
      },
    },
    senders: new Map([
      ['webhook', async ({ msg: text }: { msg: string }) => void told.push({ id: 'webhook', text, at: time.clock.monotonic() })],
    ]),
    ...{ agents, outbox, clock: time.clock, retrySeconds: 86_400, tellAgents: true, busy: () => 1 },
    ...{ isOurs: () => true, isEnrolled: async (id: string) => agents.has(id) },
    logger: { warn() {}, info() {}, debug() {}, error: () => counts.errors++ },
    key: { certificate: '', sign: () => 's' },
    events: { raise: (..._events: VerifierEvent[]) => undefined },
  } as unknown as RevocationNotifierOptions)
  ends.push(() => notifier.stop())
  let failed = 0
  const fail = async (isOrdered = false, isHere = true): Promise<StoredRevocation> => {
    const text = `{"n":${failed++}}`
    const notice = {
      agentId: 'failed',
      type: 'revocation',
      text,
      signature: 's',
      verifierSignature: '',
      createdAt: time.clock.now(),
    } as const
    const stored = await insertRevocation(db, { ...notice, targets: ['webhook'], toAgents: true }, { isOrdered })
    if (isHere) notifier.deliver(stored)
    return stored
  }
  return { ...{ counts, db, fail, notifier, outbox, store, time, told, written } }
}

const named = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}`)

test('one notice is on its way to each machine: those that hang hold up nobody, and nothing grows with what they are to be told', async () => {
  const { counts, fail, time, told } = await bed([...named('hangs', 50), ...named('good', 5)], ({ id }) =>
    id.startsWith('hangs') ? HANGS : Promise.resolve('acted'),
  )
  for (let i = 0; i < 100; i++) await fail()
  await time.pass(30_000)
  expect(counts.most).toBeLessThanOrEqual(55)
  expect(told.filter(({ id }) => id !== 'webhook')).toHaveLength(500)
})

test('receivers that are no agents do not wait for agents, nor what an operator revokes for what failed by itself', async () => {
  const machines = named('slow', 100)
  const { fail, time, told } = await bed(machines, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return 'acted'
  })
  for (let i = 0; i < 50; i++) await fail()
  await time.pass(3000)
  const at = time.clock.monotonic()
  const { text } = await fail(true)
  await time.pass(3000)
  const heard = told.filter((one) => one.text === text)
  expect(heard.find(({ id }) => id === 'webhook')!.at - at).toBeLessThan(200)
  expect(heard.filter(({ id }) => id !== 'webhook').length).toBeGreaterThan(80) // each after the one that was under way
})

test('a notice that its machine never takes holds up none of the others', async () => {
  const { fail, time, told } = await bed(['one'], async ({ text }) => {
    if (text === '{"n":0}') throw new Error('it answered 500')
    return 'acted'
  })
  for (let i = 0; i < 30; i++) await fail()
  await time.pass(60_000)
  expect(told.filter(({ id }) => id === 'one')).toHaveLength(29)
})

test('machines that are off keep no others waiting, however much they are to be told', async () => {
  const { db, fail, notifier, time } = await bed([...named('off', 60), 'good'], async ({ id }) => {
    if (id !== 'good') throw new Error('EHOSTUNREACH')
    return 'acted'
  })
  await sql`insert into revocations(agent_id, type, text, signature, created_at) with recursive n(i) as (select 1 union all select i + 1 from n where i < 850)
    select 'failed', 'revocation', '{}', 's', 0 from n`.execute(db)
  await sql`insert into deliveries with recursive n(i) as (select 0 union all select i + 1 from n where i < 59)
    select r.id, 'agent:off' || i, 'pending', 0, 0, null from revocations as r, n`.execute(db)
  expect((await fail()).targets).toContain('agents')
  const resumed = notifier.resume()
  await time.pass(1000)
  await resumed
  await time.pass(20_000)
  expect((await fail()).targets).not.toContain('agents')
})

test('who says for ever that his actions are under way is asked about a few of them', async () => {
  const { counts, fail, time, told } = await bed(['liar', 'good'], async ({ id }) => (id === 'liar' ? 'waiting' : 'acted'))
  for (let i = 0; i < 60; i++) await fail()
  await time.pass(120_000)
  expect(told.filter(({ id }) => id === 'liar')).toHaveLength(60)
  counts.questions = 0
  await time.pass(60_000)
  expect(counts.questions).toBeLessThanOrEqual(2 * 16)
  expect(counts.questions).toBeGreaterThan(0)
})

test('of a machine that fetches its notices, and is off, a few lie ready; the others come when it has fetched them', async () => {
  const { fail, outbox, time, written } = await bed(['push0'], async () => 'acted')
  for (let i = 0; i < 100; i++) await fail()
  await time.pass(120_000)
  written.length = 0
  await time.pass(300_000)
  expect(written.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(12) // not each of them every 30 s
  const fetched = new Set<string>()
  for (let i = 0; i < 40; i++) {
    const offered = outbox.offer('push0')
    for (const { msg } of offered) fetched.add(msg)
    const { createHash } = await import('node:crypto')
    const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')
    outbox.acknowledge(
      'push0',
      offered.map(({ msg }) => ({ digest: digestOf(msg), outcome: 'acted' as const, reason: null })),
    )
    await time.pass(1000)
  }
  expect(fetched.size).toBe(100)
})

test('while nothing can be stored, that is said once', async () => {
  const { counts, db, fail, time } = await bed(['one'], async () => 'acted')
  await fail()
  await sql`alter table deliveries rename to away`.execute(db)
  await time.pass(10_000)
  expect(counts.errors).toBeGreaterThan(0)
  const before = counts.errors
  await time.pass(60_000)
  expect(counts.errors).toBe(before)
})

test('what an operator revokes is told next to a machine that has more stored than waits in memory, whichever verifier stored it, the oldest first', async () => {
  const { fail, notifier, time, told } = await bed(['slow'], async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return 'acted'
  })
  for (let i = 0; i < 50; i++) await fail()
  const ordered = [(await fail(true)).text, (await fail(true)).text]
  const elsewhere = await fail(true, false)
  const heard = notifier.adopt({ revocation: elsewhere.id })
  await time.pass(5000)
  await heard
  const texts = told.filter(({ id }) => id === 'slow').map(({ text }) => text)
  expect(texts.slice(0, 4)).toEqual(['{"n":0}', ...ordered, elsewhere.text])
})
