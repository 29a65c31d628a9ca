import { type CompiledQuery, type Kysely, sql } from 'kysely'
import { FULL, OLDEST } from '../../../../src/io/db/deferred-notices.ts'
import { newsStore } from '../../../../src/io/db/news-store.ts'
import { insertRevocation, pendingPage, revocationStore } from '../../../../src/io/db/revocation-store.ts'
import type { RevocationTables } from '../../../../src/io/db/revocation-tables.ts'
import { sweepRevocations } from '../../../../src/io/db/sweep-revocations.ts'
import { makeShared } from '../../../../src/io/db/verifier-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const databases = testDatabases()
const NOTICE = { agentId: 'm1', type: 'revocation', text: '{}', signature: 's', verifierSignature: '', createdAt: 1000 } as const
const MACHINES = ['agent:m1', 'agent:m2', 'agent:m3']

async function enrolThree(db: Kysely<RevocationTables>, announced: number | null): Promise<void> {
  for (const id of ['m1', 'm2', 'm3'])
    await sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, announced_severity, failures, v_state, supported_version, polled)
      values(${id}, 'default', '{}', 3, ${announced}, '[]', 'none', '2.6', 1)`.execute(db)
}

/** So many notices to machines that nobody has tried yet, of an older revocation. */
async function fill(db: Kysely<RevocationTables>, count: number): Promise<number> {
  const { id } = await insertRevocation(db, { ...NOTICE, agentId: 'other', targets: [], toAgents: false })
  await sql`insert into deliveries with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    select ${id}, 'agent:x' || i, 'pending', 0, 0, null from n`.execute(db)
  return id
}

describe.each(DATABASES)('%s', (kind) => {
  /** Three machines whose failure was announced, and as many untried notices as there is room for. */
  async function full(announced: number | null = 6) {
    const db = await databases.open<RevocationTables>(kind, 'verifier', VERIFIER_MIGRATIONS)
    await enrolThree(db, announced)
    const older = await fill(db, 50_001)
    const store = revocationStore(db as Kysely<unknown>)
    const state = async (id: number) => (await store.deliveries(id, '', 9)).map(({ target, state }) => `${target} ${state}`)
    const makeRoom = () => sql`update deliveries set attempts = 1 where revocation_id = ${older}`.execute(db)
    const fail = () => insertRevocation(db, { ...NOTICE, targets: ['webhook'], toAgents: true })
    return { db, store, state, makeRoom, fail }
  }

  test('a revocation is told to each machine at once, and to all of them later where many notices wait; then its machines are its receivers, the oldest first', async () => {
    const { db, store, state, makeRoom, fail } = await full()
    const first = await fail()
    expect(first.targets.toSorted()).toEqual(['agents', 'webhook']) // who is no machine does not wait
    expect(await store.expandOldest(0)).toBeNull()
    await makeRoom()
    const second = await fail() // behind the first one, though there is room
    expect(second.targets.toSorted()).toEqual(['agents', 'webhook'])
    await store.record([
      { revocationId: first.id, createdAt: first.createdAt, target: 'webhook', state: 'told', attempts: 1, at: 5, lastError: null },
    ])
    await sql`delete from agents where agent_id = 'm3'`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({
      revocation: { id: first.id, targets: MACHINES.slice(0, 2), agentId: 'm1' },
      became: 'told',
    })
    expect(await state(first.id)).toEqual(['agent:m1 pending', 'agent:m2 pending', 'webhook told'])
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id: second.id } })
    expect(await store.expandOldest(0)).toBeNull()
    expect((await fail()).targets.toSorted()).toEqual(['agent:m1', 'agent:m2', 'webhook'])
  })

  test('a machine that the operator took back meanwhile is told of no more, nor one whose time is over', async () => {
    const { db, store, state, fail } = await full()
    const [taken, old, gone] = [await fail(), await fail(), await fail()]
    await sql`update agents set announced_severity = null where agent_id = 'm1'`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({
      revocation: { id: taken.id },
      became: 'taken_back',
    })
    expect(await state(taken.id)).toEqual(['agents given_up', 'webhook pending'])
    await sql`update agents set announced_severity = 6 where agent_id = 'm1'`.execute(db)
    expect(await store.expandOldest(1001)).toMatchObject({
      revocation: { id: old.id },
      became: 'too_old',
    })
    await sql`delete from agents where agent_id = 'm1'`.execute(db) // which takes nothing back
    await sql`update deliveries set attempts = 1 where target like 'agent:x%'`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id: gone.id, targets: MACHINES.slice(1) }, became: 'told' })
  })

  test('what names a certificate that its machine has no more is told, and what an operator ordered', async () => {
    const { db, store, makeRoom } = await full(null)
    const serial = (n: number) => JSON.stringify({ cert_serial: n })
    await sql`update agents set enrolment = ${JSON.stringify({ metaData: serial(2) })} where agent_id = 'm1'`.execute(db)
    const announce = (n: number, isOrdered = false) =>
      insertRevocation(db, { ...NOTICE, text: JSON.stringify({ meta_data: serial(n) }), targets: [], toAgents: true }, { isOrdered })
    const [same, before] = [await announce(2), await announce(1)]
    await fill(db, 50_000)
    const ordered = await announce(2, true)
    await makeRoom()
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id: same.id }, became: 'taken_back' })
    await sql`update deliveries set attempts = 1 where attempts = 0`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id: before.id }, became: 'told' })
    await sql`update deliveries set attempts = 1 where attempts = 0`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id: ordered.id }, became: 'told' })
  })

  test('a row of a machine that cannot be read holds up no notice', async () => {
    const { db, store, makeRoom, fail } = await full(null)
    const { id } = await fail()
    await sql`update agents set enrolment = '{"metaData' where agent_id = 'm1'`.execute(db)
    await makeRoom()
    expect(await store.expandOldest(0)).toMatchObject({ revocation: { id }, became: 'told' })
  })

  test('a machine that an operator revokes does not wait behind those that failed, unless operators revoke very many', async () => {
    const { db, fail } = await full()
    const revoke = () => insertRevocation(db, { ...NOTICE, targets: [], toAgents: true }, { isOrdered: true })
    expect((await fail()).targets).toContain('agents')
    expect((await revoke()).targets.toSorted()).toEqual(MACHINES)
    await fill(db, 50_000)
    expect((await revoke()).targets).toEqual(['agents'])
  })

  test('revocations wait, too, where a million notices are not done, although all of them were tried', async () => {
    const { db, store, makeRoom, fail } = await full()
    await makeRoom()
    const { rows } = await sql<{ id: number }>`insert into revocations(id, agent_id, type, text, signature, created_at)
      values(1000, 'other', 'revocation', '{}', 's', 1) returning id`.execute(db)
    // those of each twentieth are counted for twenty
    await sql`insert into deliveries with recursive n(i) as (select 1 union all select i + 1 from n where i < 50001)
      select ${rows[0]!.id}, 'agent:y' || i, 'pending', 7, 0, 'it is off' from n`.execute(db)
    expect((await fail()).targets.toSorted()).toEqual(['agents', 'webhook'])
    expect(await store.expandOldest(0)).toBeNull()
    const ordered = await insertRevocation(db, { ...NOTICE, targets: [], toAgents: true }, { isOrdered: true })
    expect(ordered.targets.toSorted()).toEqual(MACHINES)
    await sql`update deliveries set state = 'acted' where target = 'agent:y1'`.execute(db)
    expect(await store.expandOldest(0)).toMatchObject({ became: 'told' })
  })

  test('one that fell silent, and still is, is told of', async () => {
    const { db, store, makeRoom, fail } = await full(null)
    await fail()
    await sql`update agents set operational_state = 7 where agent_id = 'm1'`.execute(db)
    await makeRoom()
    expect(await store.expandOldest(0)).toMatchObject({ became: 'told' })
  })

  test('of one that fell silent and answers again by itself, it is not said that the operator took it back', async () => {
    const { db, store } = await full(null)
    const { id } = await insertRevocation(db, { ...NOTICE, type: 'comm_error', targets: [], toAgents: true })
    expect(await store.expandOldest(0)).toMatchObject({ became: 'taken_back' })
    const reason = 'the machine no longer counted as unreachable when the others could be told'
    expect(await store.deliveries(id, '', 9)).toMatchObject([{ state: 'given_up', lastError: reason }])
  })

  test('what waits is not erased, and is found by nobody else as done', async () => {
    const { db, store, state, fail } = await full()
    const { id } = await fail()
    await store.record([{ revocationId: id, createdAt: 1000, target: 'webhook', state: 'told', attempts: 1, at: 5, lastError: null }])
    for (let i = 0; i < 100; i++) await insertRevocation(db, { ...NOTICE, targets: [], toAgents: false })
    await sweepRevocations(db as Kysely<unknown>, { endedBy: 2000, doneBy: 2000 })
    expect(await state(id)).toEqual(['agents pending'])
  })
})

test('the other verifiers hear of machines that are to be told now', async () => {
  const db = await databases.open<RevocationTables>('PostgreSQL', 'verifier', VERIFIER_MIGRATIONS)
  await makeShared(db as Kysely<unknown>)
  await enrolThree(db, 6)
  await fill(db, 50_001)
  const { id } = await insertRevocation(db, { ...NOTICE, targets: [], toAgents: true })
  const news = newsStore(db as Kysely<unknown>)
  const last = await news.last()
  await sql`update deliveries set attempts = 1 where target <> 'agents'`.execute(db)
  await revocationStore(db as Kysely<unknown>).expandOldest(0)
  expect(await news.since(last, 9)).toMatchObject([{ what: 'revocation', revocation: id }])
})

test('a server that took over without the last of the news, and gives their numbers again, is heard', async () => {
  const db = await databases.open<RevocationTables>('PostgreSQL', 'verifier', VERIFIER_MIGRATIONS)
  await makeShared(db as Kysely<unknown>)
  const news = newsStore(db as Kysely<unknown>)
  const store = () => insertRevocation(db, { ...NOTICE, targets: [], toAgents: false })
  await store()
  const before = await news.last()
  await store()
  const last = await news.last()
  expect(await news.since(last, 9)).toEqual([])
  await sql`delete from news where id > ${before!.id}`.execute(db)
  await sql`select setval(pg_get_serial_sequence('news', 'id'), ${before!.id})`.execute(db)
  const { id } = await store()
  expect((await news.last())!.id).toBe(last!.id)
  expect((await news.since(last, 9)).at(-1)).toMatchObject({ what: 'revocation', revocation: id })
})

test('SQLite finds what waits, and what one machine is still to be told, by an index of its own', async () => {
  const db = await databases.open<RevocationTables>('SQLite', 'verifier', VERIFIER_MIGRATIONS)
  const plan = async (query: CompiledQuery) => {
    const explained = { ...query, sql: `explain query plan ${query.sql}` }
    return (await db.executeQuery<{ detail: string }>(explained)).rows.map(({ detail }) => detail)
  }
  const byTarget = [expect.stringMatching(/^SEARCH deliveries USING (COVERING )?INDEX deliveries_by_target \(target=/)]
  expect(await plan(OLDEST.compile(db))).toEqual(byTarget)
  const after = { revocation: { id: 5 }, target: 'agent:a' }
  for (const targets of [['agent:a'], ['agent:a', 'agent:b']])
    for (const question of [
      { targets, limit: 500 },
      { targets, after, limit: 500 },
    ])
      expect(await plan(pendingPage(db, question).compile())).toEqual(byTarget)
  expect(await plan(pendingPage(db, { targets: ['agent:a'], ordered: true, limit: 500 }).compile())).toEqual([
    expect.stringMatching(/^SEARCH deliveries USING INDEX deliveries_pending \(state=\? AND revocation_id=\? AND target=\?\)/),
    expect.stringMatching(/^LIST SUBQUERY/),
    expect.stringMatching(/^SCAN revocations USING COVERING INDEX revocations_ordered/),
  ])
  const index = (name: string) => expect.stringMatching(new RegExp(`USING COVERING INDEX ${name} `))
  expect(await plan(FULL.compile(db))).toEqual(expect.arrayContaining([index('deliveries_untried'), index('deliveries_sampled')]))
})
