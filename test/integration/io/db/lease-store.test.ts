import type { Kysely } from 'kysely'
import { type Enrolment, FRESH_PROGRESS, newState } from '../../../../src/core/attestation/stored-agent.ts'
import { fencedFollowers, fencedStore } from '../../../../src/io/db/fenced-store.ts'
import type { FollowerStore } from '../../../../src/io/db/follower-store.ts'
import { isLeaseLost, leaseStore } from '../../../../src/io/db/lease-store.ts'
import { markBeside, writeMark } from '../../../../src/io/db/mark-file.ts'
import { openVerifierDatabase, type SharedDatabase } from '../../../../src/io/db/verifier-database.ts'
import { type VerifierStore, verifierStore } from '../../../../src/io/db/verifier-store.ts'
import { startPostgres, type TestPostgres } from '../../../postgres.ts'
import { until } from '../../../servers.ts'

let server: TestPostgres
const opened: { close(): Promise<void> }[] = []

/** A verifier, as far as the database knows it. */
interface Run extends SharedDatabase {
  store: VerifierStore
  followers: FollowerStore
  database: Kysely<unknown>
}

beforeAll(async () => {
  server = await startPostgres()
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
  await server.query(
    'truncate keylime_verifier.agents, keylime_verifier.verifiers, keylime_verifier.leases, keylime_verifier.history cascade',
  )
})
afterAll(() => server.remove())

async function run(name: string): Promise<Run> {
  const at = { place: { ...server.place(), poolSize: 4 }, marked: `${server.directory}/${name}`, name }
  const verifier = await openVerifierDatabase(at)
  opened.push(verifier)
  const { database, shared } = verifier
  const followers = fencedFollowers(database, shared!.leases)
  return { ...shared!, database, followers, store: fencedStore(database, (db) => verifierStore(db, 1 << 20), shared!.leases) }
}

const enrolment = (agentId: string): Enrolment => ({
  ...{
    agentId,
    verifierId: 'v',
    ip: '127.0.0.1',
    port: 1,
    verifierIp: '',
    verifierPort: 0,
    tpmPolicy: '{}',
    runtimePolicy: null,
    mbPolicy: null,
  },
  ...{ metaData: '{}', revocationKey: '', accepted: { hash: [], encryption: [], signing: [] }, ak: 'ak', mtlsCertificate: null },
})
const change = (agentId: string, v: string | null = null) => ({
  ...{ enrolment: enrolment(agentId), state: newState(v, '2.6'), progress: FRESH_PROGRESS, policies: [] },
})
const state = (attestationCount = 1) => ({
  ...{ state: { ...newState(null, '2.6'), vState: 'releasing' as const }, progress: { ...FRESH_PROGRESS, attestationCount } },
  ...{ revocation: null, failedRound: null },
})
const countOf = async ({ store }: Run, agentId: string) => {
  const record = await store.find(agentId)
  return record && 'agent' in record ? record.agent.progress.attestationCount : null
}
/** Its last sign of life was a while ago, by the clock of the server. */
const missed = (name: string) =>
  server.query(`update keylime_verifier.verifiers set seen_at = now() - interval '7 seconds' where name = '${name}'`)

test('a machine is of the verifier that enrolled it; another takes it only when that one is missed', async () => {
  const [a, b] = [await run('a'), await run('b')]
  for (const id of ['m1', 'm2', 'm3']) expect(await a.store.insert(change(id))).toBeNull() // what another verifier changes meanwhile may be missed
  expect([await b.leases.claim(10), b.leases.size, a.leases.size]).toEqual([[], 0, 3])
  await missed('a')
  expect([(await b.leases.claim(2)).length, (await b.leases.claim(10)).length, (await b.leases.beat()).count]).toEqual([2, 1, 1])
})

test('it is known who attests a machine: by one look for all that others have, and nobody who is missed', async () => {
  const [a, b] = [await run('a'), await run('b')]
  await a.store.insert(change('of-a'))
  await b.store.insert(change('of-b'))
  const ids = ['of-a', 'of-b', 'unknown']
  for (const each of [a, b]) expect(ids.map(await each.leases.holders(ids))).toEqual(['a', 'b', null])
  await missed('b')
  expect((await a.leases.holders(['of-b']))('of-b')).toBeNull()
})

test('it is known when the first of the others is missed', async () => {
  const [a, b, c] = [await run('a'), await run('b'), await run('c')]
  for (const each of [a, b, c]) await each.leases.beat()
  await server.query("update keylime_verifier.verifiers set seen_at = clock_timestamp() - interval '2 seconds' where name = 'b'")
  const { count, firstEndMs } = await a.leases.beat()
  expect(count).toBe(3)
  expect(firstEndMs).toBeGreaterThan(2000)
  expect(firstEndMs).toBeLessThanOrEqual(4000)
  await b.leases.end()
  await c.leases.end()
  expect(await a.leases.beat()).toEqual({ count: 1, firstEndMs: Number.POSITIVE_INFINITY, others: [], missed: [] })
})

test('a verifier that is missed is known by its name, once; one that has ended is not missed', async () => {
  const [a, , ended] = [await run('a'), await run('b'), await run('ended')]
  expect((await a.leases.beat()).others.map(({ name }) => name).toSorted()).toEqual(['b', 'ended'])
  await ended.leases.end()
  await missed('b')
  const [first, then] = [await a.leases.beat(), await a.leases.beat()]
  expect([first.count, first.missed.map(({ name, silentMs }) => [name, silentMs >= 7000]), then.missed]).toEqual([1, [['b', true]], []])
})

test('what others can let go is what nobody has, and what those who live have beyond their share and can ask themselves', async () => {
  const [a, b, c] = [await run('a'), await run('b'), await run('c')]
  for (const id of ['m1', 'm2', 'm3', 'm4']) await a.store.insert(change(id))
  for (const id of ['n1', 'n2', 'n3']) await b.store.insert(change(id))
  await a.leases.beat(3)
  await b.leases.beat(0)
  expect([await c.leases.movable(2), await c.leases.movable(3), await c.leases.movable(4)]).toEqual([2, 1, 0])
  expect(await a.leases.movable(0)).toBe(0) // its own are not those of others
  await a.leases.beat(1)
  expect(await c.leases.movable(2)).toBe(1)
  await missed('b')
  expect(await c.leases.movable(2)).toBe(4)
})

test('a machine that is enrolled while this verifier looks up which are its own stays known', async () => {
  const [{ database }, other] = [await run('a'), await run('b')]
  let meanwhile = async () => {}
  const slow = database.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      const isLook = result.rows.some((row) => 'token' in row)
      const work = meanwhile
      if (isLook) meanwhile = async () => {}
      if (isLook) await work()
      return result
    },
  })
  const leases = leaseStore(slow, 'slow')
  const store = fencedStore(database, (db) => verifierStore(db, 1 << 20), leases)
  for (const id of ['kept', 'lost']) await store.insert(change(id))
  await other.leases.take('lost')
  meanwhile = () => store.insert(change('new')).then(() => undefined)
  expect(await leases.reconcile()).toEqual([])
  expect(['kept', 'lost', 'new'].map(leases.has)).toEqual([true, false, true])
})

test.each<[string, (store: VerifierStore) => Promise<unknown>]>([
  ['a verdict', (store) => store.saveState('m', state())],
  ['another enrolment', (store) => store.replace(change('m', 'dg=='))],
  [
    'another address',
    (store) =>
      store.move('m', { from: { ip: '127.0.0.1', port: 1 }, to: { ip: '127.0.0.1', port: 2 } }, { type: 'agent_attested', agent_id: 'm' }),
  ],
  ['a revocation', (store) => store.revoke('m', null)],
  ['a deletion', (store) => store.delete('m')],
])('who lost a machine stores nothing of it: %s', async (_what, write) => {
  const [a, b] = [await run('a'), await run('b')]
  await a.store.insert(change('m'))
  await write(a.store).catch(() => undefined) // while it is its own it may
  if (!(await a.store.find('m'))) await a.store.insert(change('m'))
  expect(await b.leases.take('m')).toBe('taken')
  const before = await b.store.find('m')
  const failure = await write(a.store).catch((error) => error)
  expect(isLeaseLost(failure)).toBe(true)
  expect(await b.store.find('m')).toEqual(before)
  await write(b.store)
})

test('who lost a machine says nothing of what it believes', async () => {
  const [a, b] = [await run('a'), await run('b')]
  await a.store.insert(change('m'))
  await a.followers.add('m', 'before')
  await b.leases.take('m')
  await b.followers.add('m', 'next')
  expect(isLeaseLost(await a.followers.add('m', 'before').catch((error) => error))).toBe(true)
  expect([await a.followers.has('m', 'next'), [...(await b.followers.of('before'))]]).toEqual([true, []])
})

test('counters of machines that were lost are left out, the others are written', async () => {
  const [a, b] = [await run('a'), await run('b')]
  for (const id of ['kept', 'lost']) await a.store.insert(change(id))
  await b.leases.take('lost')
  const rows = ['kept', 'lost', 'never'].map((agentId) => ({ agentId, progress: { ...FRESH_PROGRESS, attestationCount: 9 } }))
  await a.store.saveProgress(rows)
  expect([await countOf(b, 'kept'), await countOf(b, 'lost')]).toEqual([9, 0])
})

test('a token never comes back: not after the machine was deleted and enrolled again, and not when it is taken to and fro', async () => {
  const [a, b] = [await run('a'), await run('b')]
  await a.store.insert(change('m'))
  await b.leases.take('m')
  await b.store.delete('m')
  await b.store.insert(change('m'))
  expect(isLeaseLost(await a.store.saveState('m', state()).catch((error) => error))).toBe(true)
  const stale = await run('stale')
  await stale.leases.take('m')
  await b.leases.take('m')
  expect([await stale.leases.isOurs('m'), stale.leases.has('m')]).toEqual([false, true])
  expect(await stale.leases.take('m')).toBe('taken')
  expect(isLeaseLost(await b.store.saveState('m', state()).catch((error) => error))).toBe(true)
  await stale.store.saveState('m', state())
})

test('what a verifier knows is brought up to what is stored: machines that it lost, and those that it did not know it has', async () => {
  const [a, b] = [await run('a'), await run('b')]
  for (const id of ['m1', 'm2']) await a.store.insert(change(id))
  await b.leases.take('m1')
  expect([await a.leases.reconcile(), a.leases.has('m1'), a.leases.has('m2')]).toEqual([[], false, true])
  await server.query("update keylime_verifier.leases set token = token + 1000000 where agent_id = 'm2'") // the answer to a claim was lost
  expect(await a.leases.reconcile()).toEqual(['m2'])
  await a.store.saveState('m2', state())
  expect([await a.leases.take('nobody'), a.leases.has('nobody')]).toEqual([null, false])
})

test('to ask for a machine that is not enrolled changes nothing, and an enrolment wakes no verifier', async () => {
  const [a, b] = [await run('a'), await run('b')]
  const commits = async () => (await server.query<{ n: string }>('select count(*) as n from keylime_verifier.keylime_commits'))[0]!.n
  let heard = 0
  const listener = b.listen(() => heard++)
  await listener.ensure()
  const [before, heardBefore] = [await commits(), heard]
  expect(await Promise.all(['m', 'n', 'm'].map((id) => a.leases.take(id)))).toEqual([null, null, null])
  expect(await commits()).toBe(before)
  await Promise.all(['m', 'n', 'o'].map((id) => a.store.insert(change(id))))
  await a.store.insert(change('alone'))
  await server.query('select pg_notify($$keylime_verifier$$, $$last$$)')
  await until('the last notice', () => heard > heardBefore)
  expect(heard).toBe(heardBefore + 1)
  expect(await Promise.all(['m', 'n', 'o'].map((id) => b.leases.take(id)))).toEqual(['taken', 'taken', 'taken'])
  await until('the machines that were taken are told', () => heard > heardBefore + 1)
  await listener.close()
})

test('who ends, or gives machines away, leaves them to others at once', async () => {
  const [a, b] = [await run('a'), await run('b')]
  for (const id of ['m1', 'm2', 'm3']) await a.store.insert(change(id))
  await a.leases.give(['m1'])
  expect([await b.leases.claim(10), (await b.leases.beat()).count]).toEqual([['m1'], 2])
  await a.leases.end()
  expect([(await b.leases.claim(10)).toSorted(), (await b.leases.beat()).count]).toEqual([['m2', 'm3'], 1])
})

test('news of policies and revocations are written by whoever makes them, in order', async () => {
  const [a, b] = [await run('a'), await run('b')]
  const last = await b.news.last()
  const notice = {
    agentId: 'm',
    type: 'revocation' as const,
    text: '{}',
    signature: '',
    verifierSignature: '',
    createdAt: 1,
    targets: ['webhook'],
    toAgents: false,
  }
  await a.store.insert(change('m'))
  const stored = await a.store.revoke('m', notice)
  const news = await b.news.since(last, 10)
  expect(news).toMatchObject([{ what: 'revocation', revocation: stored!.id }])
  expect(await b.news.since(news[0]!, 10)).toEqual([])
  await a.store.insert(change('n'))
  const second = await a.store.revoke('n', { ...notice, agentId: 'n' })
  expect(await b.news.since(last, 1)).toMatchObject([{ revocation: stored!.id }])
  await server.query(`update keylime_verifier.news set at = now() - interval '2 days' where id = ${news[0]!.id}`)
  await b.news.forget()
  expect(await b.news.since(last, 10)).toMatchObject([{ revocation: second!.id }])
})

test('a verifier that comes to others with the mark of another database takes their word for it, and keeps the mark of this one', async () => {
  const a = await run('a')
  await a.store.insert(change('m1', 'v'))
  const file = `${server.directory}/moved-here`
  await writeMark(file, { database: 'another', changes: 1_000_000, at: 1 })
  const open = () => openVerifierDatabase({ place: { ...server.place(), poolSize: 4 }, marked: file, name: 'b' })
  const b = await open()
  opened.push(b)
  expect(b.mark.age).toBe('current')
  await b.mark.record()
  expect(await markBeside(file)).toMatchObject({ database: b.mark.inside.database })
  await writeMark(file, { ...b.mark.inside, changes: 1_000_000 })
  const again = await open()
  opened.push(again)
  expect(again.mark.age).toBe('older') // it knows this database
})

test('who withholds what others attest takes it from them first: none of them releases it, or stores over it', async () => {
  const [a, b] = [await run('a'), await run('b')]
  for (const [id, v] of [
    ['held', 'v'],
    ['none', null],
  ] as const)
    await a.store.insert(change(id, v))
  expect(await b.store.withholdAll()).toEqual(['held'])
  await expect(a.store.saveState('held', state() as never)).rejects.toMatchObject({ code: 'conflict' })
  expect([await a.leases.isOurs('held'), await a.leases.isOurs('none')]).toEqual([false, true])
  expect(await b.store.find('held')).toMatchObject({ agent: { state: { v: null, vState: 'withheld' } } })
  expect(await b.leases.reconcile()).toEqual(['held']) // it attests the machine from now on
})
