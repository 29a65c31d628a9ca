import { jest } from '@jest/globals'
import fc from 'fast-check'
import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { type Enrolment, FRESH_PROGRESS, newState } from '../../../../src/core/attestation/stored-agent.ts'
import { enrolmentEvent } from '../../../../src/core/events/enrolment-event.ts'
import { type EnrolmentChange, isPlain } from '../../../../src/io/db/enrolment-change.ts'
import { fencedStore } from '../../../../src/io/db/fenced-store.ts'
import { DEFAULT_HISTORY, historyStore } from '../../../../src/io/db/history-store.ts'
import { type LeaseStore, leaseStore } from '../../../../src/io/db/lease-store.ts'
import { DEFAULT_MAILBOXES, mailboxStore } from '../../../../src/io/db/mailbox-store.ts'
import { policyStore } from '../../../../src/io/db/policy-store.ts'
import { makeShared } from '../../../../src/io/db/verifier-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { type VerifierStore, verifierStore } from '../../../../src/io/db/verifier-store.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../databases.ts'
import { runs } from '../../../thorough.ts'
import { OPERATOR } from '../../../verifier-events.ts'

const databases = testDatabases()
const DIGEST = 'd'.repeat(64)

/** A verifier, as far as the database knows it; alone on SQLite. */
interface Run {
  db: Kysely<unknown>
  store: VerifierStore
  leases: LeaseStore | null
}

async function open(kind: DatabaseName): Promise<Run> {
  const db = await databases.open(kind, 'verifier', VERIFIER_MIGRATIONS)
  const history = historyStore(db, DEFAULT_HISTORY, Date.now)
  const storeOn = (on: Kysely<unknown>) => verifierStore(on, 1 << 20, history)
  if (kind === 'SQLite') return { db, store: storeOn(db), leases: null }
  await makeShared(db)
  const leases = leaseStore(db, 'v')
  return { db, store: fencedStore(db, storeOn, leases), leases }
}

const TABLES = ['agents', 'history', 'policy_uses', 'policies', 'policy_bodies']
async function empty({ db }: Run): Promise<void> {
  for (const table of TABLES) await sql`delete from ${sql.table(table)}`.execute(db)
  const body = { digest: DIGEST, bytes: Buffer.from('{}') }
  for (const [kind, name] of [['runtime', 'fleet'] as const, ['mb', 'boot'] as const])
    await policyStore(db).put(kind, name, { body, must: 'create' })
}

type Chosen = { runtimePolicy?: string | null; mbPolicy?: string | null; metaData?: string }
function change(agentId: string, chosen: Chosen = {}, arrived: string | null = null): EnrolmentChange {
  const enrolment: Enrolment = {
    ...{ agentId, verifierId: 'v', ip: '127.0.0.1', port: 1, verifierIp: '', verifierPort: 0, tpmPolicy: '{}', imaKeys: '' },
    ...{ metaData: '{"text":"\\u0000\\ud800 ü"}', revocationKey: '', accepted: { hash: ['sha256'], encryption: [], signing: [] } },
    ...{ ak: 'ak', mtlsCertificate: null, runtimePolicy: arrived, mbPolicy: null, ...chosen },
  }
  const agent = { enrolment, state: newState('dg==', '2.6') }
  const event = enrolmentEvent('agent_enrolled', {
    agent: agent as never,
    refs: { runtime: null, mb: null },
    warnings: 0,
    operator: OPERATOR,
  })
  const policies = arrived === null ? [] : [{ kind: 'runtime' as const, name: arrived, digest: DIGEST }]
  return { ...agent, progress: FRESH_PROGRESS, policies, events: [event] }
}

const GONE = { operational_state: 3, v_state: 'none', operator: OPERATOR }
/** Machines that are enrolled before, and are deleted once: whose lease is known after the commit alone cannot be deleted before it. */
const BEFORE = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5']

interface Work {
  id: string
  isDeleted: boolean
  make(store: VerifierStore): Promise<unknown>
}

const id = fc.integer({ min: 0, max: 45 }).map((n) => `m${n}`)
const inserting = (id: string, ...chosen: [Chosen?, (string | null)?]): Work => ({
  id,
  isDeleted: false,
  make: (store) => store.insert(change(id, ...chosen)),
})
/** Who does what with a machine; names of policies that are there, that come along, and that are nowhere. */
const work: fc.Arbitrary<Work> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .record({
        id,
        runtimePolicy: fc.constantFrom(null, 'fleet', 'fleet', 'late', 'nowhere'),
        mbPolicy: fc.constantFrom(null, null, 'boot', 'fleet'),
        metaData: fc.constantFrom('{}', '{}', `{"long":"${'x'.repeat(40_000)}"}`),
      })
      .map(({ id, ...chosen }) => inserting(id, chosen)),
  },
  { weight: 1, arbitrary: id.map((id) => inserting(id, {}, 'late')) },
  { weight: 1, arbitrary: id.map((id) => inserting(id, {}, `agent:${id}`)) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(...BEFORE).map(
      (id): Work => ({
        id,
        isDeleted: true,
        make: (store) => store.delete(id, { type: 'agent_deleted', agent_id: id, ...GONE }),
      }),
    ),
  },
)
const works = fc
  .array(work, { minLength: 1, maxLength: 70, size: 'max' })
  .map((all) => all.filter(({ id, isDeleted }, i) => !isDeleted || !all.slice(0, i).some((each) => each.isDeleted && each.id === id)))

const told = (outcome: PromiseSettledResult<unknown>) =>
  outcome.status === 'fulfilled' ? (outcome.value ?? null) : { code: outcome.reason.code, message: outcome.reason.message }
const settled = async (all: readonly Promise<unknown>[]) => (await Promise.allSettled(all)).map(told)

/** All that is stored, besides numbers and times. */
async function stored({ db }: Run): Promise<unknown> {
  const { rows: agents } = await sql`select agents.*, attestation_count, last_received, last_successful, clock, ima from agents
    left join progress on progress.agent_id = agents.agent_id order by agents.agent_id`.execute(db)
  const { rows: uses } = await sql`select * from policy_uses order by agent_id, kind`.execute(db)
  const { rows: policies } = await sql`select kind, name from policies order by kind, name`.execute(db)
  const { rows: history } = await sql`select agent_id, event from history order by agent_id, id`.execute(db)
  return { agents, uses, policies, history }
}

/** The leases are those of the machines that are enrolled, and known here. */
async function leasesAgree({ db, leases }: Run): Promise<void> {
  if (!leases) return
  const { rows } = await sql<{ agent_id: string; leased: string | null }>`select a.agent_id, l.agent_id as leased from agents as a
    left join leases as l on l.agent_id = a.agent_id`.execute(db)
  for (const { agent_id, leased } of rows) expect([leased, leases.has(agent_id)]).toEqual([agent_id, true])
  expect(await Promise.all(rows.map(({ agent_id }) => leases.isOurs(agent_id)))).toEqual(rows.map(() => true))
}

describe.each(DATABASES)('%s', (kind) => {
  test('many changes of one moment end as if one came after the other, with the same answers', async () => {
    const [group, single] = [await open(kind), await open(kind)]
    await fc.assert(
      fc.asyncProperty(works, async (all) => {
        for (const each of [group, single]) {
          await empty(each)
          for (const id of BEFORE) await each.store.insert(change(id))
        }
        const together = await settled(all.map(({ make }) => make(group.store)))
        const apart: unknown[] = []
        for (const { make } of all) apart.push(...(await settled([make(single.store)])))
        expect(together).toEqual(apart)
        expect(await stored(group)).toEqual(await stored(single))
        await leasesAgree(group)
      }),
      { numRuns: runs(200, 10) },
    )
  })

  test('enrolments that cannot be made together are made alone: one that is bad harms no other', async () => {
    const run = await open(kind)
    await empty(run)
    await refusing(run, 'bad', 'broken by a trigger')
    const ids = [...Array.from({ length: 20 }, (_, i) => `m${i}`), 'bad', 'last']
    const outcomes = await Promise.allSettled(ids.map((id) => run.store.insert(change(id, { runtimePolicy: 'fleet' }))))
    expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: { message: 'broken by a trigger' } }])
    expect(outcomes[20]).toMatchObject({ status: 'rejected' })
    expect(await run.store.ids()).toEqual(ids.filter((id) => id !== 'bad').toSorted())
    const { rows } = await sql<{ n: number }>`select count(*) as n from history`.execute(run.db)
    expect(rows[0]!.n).toBe(21)
    await leasesAgree(run)
    expect(run.leases?.has('bad') ?? false).toBe(false)
  })

  test('when the commit fails, nothing of it is stored and all are told', async () => {
    const run = await open(kind)
    await empty(run)
    await failingAtCommit(run, 'poison')
    const ids = [...Array.from({ length: 20 }, (_, i) => `m${i}`), 'poison']
    const outcomes = await Promise.allSettled(ids.map((id) => run.store.insert(change(id))))
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['rejected']))
    expect(await stored(run)).toMatchObject({ agents: [], uses: [], history: [] })
    expect(ids.filter((id) => run.leases?.has(id))).toEqual([])
    expect(await settled(ids.slice(0, 20).map((id) => run.store.insert(change(id))))).toHaveLength(20)
    expect(await run.store.ids()).toHaveLength(20)
    await leasesAgree(run)
  })
})

/** Of a call of the library. */
const textOf = ([query]: unknown[]): string => (typeof query === 'string' ? query : (query as { text: string }).text)

test('a hundred are as many statements as ten, whichever of them are refused; each new machine is leased', async () => {
  const run = await open('PostgreSQL')
  await empty(run)
  const { rows } = await sql<{ last: number }>`select count(*) as last from keylime_commits`.execute(run.db)
  const query = jest.spyOn(pg.Client.prototype, 'query')
  const count = async (ids: readonly string[]) => {
    query.mockClear()
    const names = ['fleet', 'fleet', 'nowhere', null]
    const all = ids.map((id, i) => run.store.insert(change(id, { runtimePolicy: names[i % 4]!, mbPolicy: 'boot' })))
    await Promise.allSettled([...all, run.store.insert(change(ids[0]!))])
    // Of the one connection that stored them: the pool may open others meanwhile.
    const [{ contexts, calls }, isEnrolling] = [query.mock, (call: unknown[]) => textOf(call).startsWith('insert into agents')]
    expect(calls.filter(isEnrolling)).toHaveLength(1)
    const client = contexts[calls.findIndex(isEnrolling)]
    const texts = calls.filter((_, i) => contexts[i] === client).map(textOf)
    return texts.length - texts.indexOf('begin')
  }
  await count(['first', 'second', 'third'])
  const [few, many] = [await count(idsOf('a', 10)), await count(idsOf('b', 60))]
  query.mockRestore()
  expect(many).toBe(few)
  expect(few).toBeLessThanOrEqual(12)
  expect(await run.store.ids()).toHaveLength(2 + 8 + 45)
  expect(run.leases!.size).toBe(2 + 8 + 45)
  await leasesAgree(run)
  const after = await sql<{ last: number }>`select count(*) as last from keylime_commits`.execute(run.db)
  expect(after.rows[0]!.last).toBe(rows[0]!.last + 3)
})

test('digests that are asked for in one moment are one query, each of its own kind and name', async () => {
  const run = await open('PostgreSQL')
  await empty(run)
  const policies = policyStore(run.db)
  const body = { digest: 'e'.repeat(64), bytes: Buffer.from('{"other":1}') }
  await policies.put('mb', 'fleet', { body, must: 'create' })
  const query = jest.spyOn(pg.Client.prototype, 'query')
  const asked = [['runtime', 'fleet'] as const, ['mb', 'fleet'] as const, ['runtime', 'nowhere'] as const, ['runtime', 'fleet'] as const]
  expect(await Promise.all(asked.map(([kind, name]) => policies.digestOf(kind, name)))).toEqual([DIGEST, body.digest, null, DIGEST])
  expect(query.mock.calls.filter((call: unknown[]) => textOf(call).includes('names'))).toHaveLength(1)
  query.mockRestore()
})

test('an enrolment is plain without policies of its own, a mailbox and long texts', () => {
  expect(isPlain(change('m', { runtimePolicy: 'fleet', mbPolicy: 'boot' }))).toBe(true)
  expect(isPlain(change('m', {}, 'late'))).toBe(false)
  expect(isPlain({ ...change('m'), mailbox: {} as never })).toBe(false)
  expect([isPlain({ ...change('m'), mailbox: null }), isPlain(change('m', { metaData: 'x'.repeat(40_000) }))]).toEqual([true, false])
})

test('a payload whose machine is deleted is erased behind the commit', async () => {
  const run = await open('PostgreSQL')
  await empty(run)
  const payload = Buffer.alloc(3000)
  const delivery = { enrolment: 'e', generation: 1, orderedAt: 1, isKept: true, report: null }
  const mailbox = { order: 'o', signature: 's', certificate: 'c', share: 'v', payload, delivery }
  const count = async () => {
    const { rows } = await sql<{
      n: number
    }>`select (select count(*) from mailbox_pieces) + (select count(*) from mailbox_leftovers) as n`.execute(run.db)
    return rows[0]!.n
  }
  await mailboxStore(run.db, DEFAULT_MAILBOXES, (n) => Buffer.alloc(n, 1)).withStaged(mailbox, (staged) =>
    run.store.insert({ ...change('m'), mailbox: staged }),
  )
  expect(await count()).toBe(1)
  await run.store.delete('m')
  expect(await count()).toBe(0)
})

const idsOf = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`)

/** A row that the database does not take, whatever stands in it. */
async function refusing({ db, leases }: Run, id: string, why: string): Promise<void> {
  if (!leases)
    return void (await sql
      .raw(`create trigger refusing before insert on agents when new.agent_id = '${id}' begin select raise(abort, '${why}'); end`)
      .execute(db))
  await sql.raw(`create function refusing() returns trigger language plpgsql as $$ begin raise exception '${why}'; end $$`).execute(db)
  await sql
    .raw(`create trigger refusing before insert on agents for each row when (new.agent_id = '${id}') execute function refusing()`)
    .execute(db)
}

/** A row that the database takes, and no commit with it. */
async function failingAtCommit({ db, leases }: Run, id: string): Promise<void> {
  await sql`create table parents(id integer primary key)`.execute(db)
  await sql`create table children(parent integer references parents(id) deferrable initially deferred)`.execute(db)
  if (!leases)
    return void (await sql
      .raw(`create trigger failing after insert on agents when new.agent_id = '${id}' begin insert into children values(7); end`)
      .execute(db))
  await sql
    .raw('create function failing() returns trigger language plpgsql as $$ begin insert into children values(7); return null; end $$')
    .execute(db)
  await sql
    .raw(`create trigger failing after insert on agents for each row when (new.agent_id = '${id}') execute function failing()`)
    .execute(db)
}
