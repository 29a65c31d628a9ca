import { type Kysely, sql } from 'kysely'
import { insertRevocation, type PendingQuestion, revocationStore } from '../../../../src/io/db/revocation-store.ts'
import type { RevocationTables } from '../../../../src/io/db/revocation-tables.ts'
import { sweepRevocations } from '../../../../src/io/db/sweep-revocations.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const databases = testDatabases()
const NOTICE = { agentId: 'liar', type: 'revocation', text: '{}', signature: 's', verifierSignature: '', createdAt: 5 } as const

describe.each(DATABASES)('%s', (kind) => {
  const open = async () => {
    const db = await databases.open<RevocationTables>(kind, 'verifier', VERIFIER_MIGRATIONS)
    const { id } = await insertRevocation(db, { ...NOTICE, targets: ['webhook', 'zeromq'], toAgents: false })
    return { db, id, store: revocationStore(db as Kysely<unknown>) }
  }

  test('who was told stays told, whatever a verifier says that was paused meanwhile', async () => {
    const { store, id } = await open()
    const say = (state: 'pending' | 'given_up' | 'told' | 'acted' | 'refused', target = 'webhook') =>
      store.record([{ revocationId: id, createdAt: 5, target, state, attempts: 1, at: 6, lastError: null }])
    const states = async () => (await store.deliveries(id, '', 10)).map(({ state }) => state)
    await say('given_up', 'zeromq')
    await say('pending', 'zeromq') // nobody would try it any more
    expect(await states()).toEqual(['pending', 'given_up'])
    await say('told', 'zeromq')
    await say('told')
    await say('pending')
    await say('given_up')
    expect(await states()).toEqual(['told', 'told'])
    await say('acted')
    await say('pending')
    expect(await states()).toEqual(['acted', 'told'])
    await say('told')
    await say('refused')
    await say('refused', 'zeromq')
    expect(await states()).toEqual(['acted', 'refused'])
    expect(await store.pending({ limit: 10 }, new Map())).toEqual([])
  })

  test('who was told of a notice that the server lost has not been told of the one that got its number', async () => {
    const { store, id } = await open()
    const say = (createdAt: number) =>
      store.record([{ revocationId: id, createdAt, target: 'webhook', state: 'told', attempts: 1, at: 6, lastError: null }])
    const state = async () => (await store.deliveries(id, '', 10))[0]!.state
    await say(4)
    expect(await state()).toBe('pending')
    await say(5)
    expect(await state()).toBe('told')
  })

  test('what is not done is found by its revocation, and by its target', async () => {
    const { db, store, id } = await open()
    const other = await insertRevocation(db, { ...NOTICE, targets: ['webhook'], toAgents: false })
    const found = async (of: Partial<PendingQuestion> = {}) =>
      (await store.pending({ limit: 10, ...of }, new Map())).map(({ revocation, target }) => [revocation.id, target])
    expect(await found({ targets: ['webhook'] })).toEqual([
      [id, 'webhook'],
      [other.id, 'webhook'],
    ])
    expect(await found({ revocation: other.id })).toEqual([[other.id, 'webhook']])
    expect(await found()).toHaveLength(3)
    const ordered = await insertRevocation(db, { ...NOTICE, targets: ['webhook', 'zeromq'], toAgents: false }, { isOrdered: true })
    expect(await found({ targets: ['webhook'], ordered: true })).toEqual([[ordered.id, 'webhook']])
    expect(await found({ targets: ['webhook'], ordered: true, after: { revocation: ordered, target: 'webhook' } })).toEqual([])
  })

  test('what several machines are still to be told comes in pages, each once', async () => {
    const { db, store } = await open()
    for (let i = 0; i < 3; i++) await insertRevocation(db, { ...NOTICE, targets: ['agent:a', 'agent:b', 'agent:c'], toAgents: false })
    const found: string[] = []
    for (let after: PendingQuestion['after']; ; ) {
      const page = await store.pending({ targets: ['agent:a', 'agent:b'], after, limit: 2 }, new Map())
      if (page.length === 0) break
      found.push(...page.map(({ revocation, target }) => `${revocation.id} ${target}`))
      after = page.at(-1)
    }
    expect(found).toHaveLength(6)
    expect(new Set(found).size).toBe(6)
  })

  test('what is not done comes in pages, and the text of a revocation once for all of them', async () => {
    const { db, store, id } = await open()
    const targets = Array.from({ length: 7 }, (_, i) => `agent:${i}`)
    const other = await insertRevocation(db, { ...NOTICE, targets, toAgents: false })
    const known = new Map()
    const found: [number, string][] = []
    for (let after: PendingQuestion['after']; ; ) {
      const page = await store.pending({ after, limit: 3 }, known)
      if (page.length === 0) break
      for (const { revocation, target } of page) {
        expect(revocation).toBe(known.get(revocation.id))
        found.push([revocation.id, target])
      }
      after = page.at(-1)
    }
    expect(found).toEqual([[id, 'webhook'], [id, 'zeromq'], ...targets.map((target) => [other.id, target])])
  })

  describe('the sweep', () => {
    const DAY = 86_400_000
    /** Older ones than are shown, and as many as are. */
    async function old(deliveries: Record<string, 'told' | 'given_up' | 'pending'>, createdAt = 5) {
      const opened = await open()
      const { db, store } = opened
      await sql`delete from revocations`.execute(db)
      const of = async () => insertRevocation(db, { ...NOTICE, createdAt, targets: Object.keys(deliveries), toAgents: false })
      const { id } = await of()
      const results = Object.entries(deliveries).map(([target, state]) => ({
        ...{ revocationId: id, createdAt, target, state, attempts: 1, at: 6, lastError: null },
      }))
      await store.record(results)
      for (let i = 0; i < 100; i++) await insertRevocation(db, { ...NOTICE, targets: [], toAgents: false })
      const left = async () => (await store.newest(200)).length
      const sweep = (signal?: AbortSignal) => sweepRevocations(db as Kysely<unknown>, { endedBy: DAY, doneBy: 2 * DAY }, signal)
      return { ...opened, id, left, sweep }
    }
    const enrol = (db: Kysely<RevocationTables>) =>
      sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, failures, v_state, supported_version, polled)
        values('a', 'default', '{}', 3, '[]', 'none', '2.6', 1)`.execute(db)

    test('erases what is done with and not shown any more, however many were told; a late word of it is passed over', async () => {
      const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`agent:${i}`, 'told' as const]))
      const { store, id, left, sweep } = await old({ ...many, webhook: 'given_up' })
      expect(await left()).toBe(101)
      expect(await sweep()).toBe(1)
      expect([await left(), await store.deliveries(id, '', 10)]).toEqual([100, []])
      const kept = (await store.newest(1))[0]!.id
      const word = { createdAt: 5, state: 'acted', attempts: 1, at: 6, lastError: null } as const
      await store.record([
        { ...word, revocationId: id, target: 'agent:1' },
        { ...word, revocationId: kept, target: 'agent:1' },
      ])
      expect([await store.deliveries(id, '', 10), (await store.deliveries(kept, '', 10)).length]).toEqual([[], 0])
      expect(await sweep()).toBe(0)
    })

    test('keeps what an enrolled machine is still to be told, however old it is', async () => {
      const { db, store, id, left, sweep } = await old({ 'agent:a': 'pending', webhook: 'told' })
      await enrol(db)
      expect([await sweep(), await left()]).toEqual([0, 101])
      expect(await store.pending({ limit: 9 }, new Map())).toMatchObject([{ revocation: { id }, target: 'agent:a' }])
      await store.record([{ revocationId: id, createdAt: 5, target: 'agent:a', state: 'told', attempts: 1, at: 6, lastError: null }])
      expect([await sweep(), await left()]).toEqual([1, 100])
    })

    test('erases sooner what everybody was told of', async () => {
      const { left, sweep } = await old({ 'agent:a': 'told', webhook: 'given_up' }, DAY + 1)
      expect([await sweep(), await left()]).toEqual([1, 100])
    })

    test('gives up on a machine that is not enrolled any more at once, and on what is not a machine when its time is over', async () => {
      const receivers = { 'agent:a': 'pending', 'agent:gone': 'pending', agents: 'pending', webhook: 'pending', zeromq: 'told' } as const
      const states = async ({ store, id }: Awaited<ReturnType<typeof old>>) =>
        Object.fromEntries((await store.deliveries(id, '', 9)).map(({ target, state, lastError }) => [target, `${state} ${lastError}`]))
      const young = await old(receivers, 3 * DAY)
      await enrol(young.db)
      await young.sweep()
      const gone = { 'agent:a': 'pending null', 'agent:gone': 'given_up it is not enrolled any more', agents: 'pending null' }
      expect(await states(young)).toEqual({ ...gone, webhook: 'pending null', zeromq: 'told null' })
      const over = await old({ ...receivers, zeromq: 'told' })
      await enrol(over.db)
      // what was given up is erased with what was told; what waits for room is given up by who looks for room
      expect([await over.sweep(), await over.left()]).toEqual([0, 101])
      expect(await states(over)).toEqual({ 'agent:a': 'pending null', agents: 'pending null' })
    })

    test('one machine that is off does not keep what all others were told of; a late word of them does not bring it back', async () => {
      const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`agent:${i}`, 'told' as const]))
      const { db, store, id, left, sweep } = await old({ ...many, 'agent:a': 'pending' })
      await enrol(db)
      const targets = async () => (await store.deliveries(id, '', 9)).map(({ target, state }) => `${target} ${state}`)
      expect([await sweep(), await left(), await targets()]).toEqual([0, 101, ['agent:a pending']])
      const word = { revocationId: id, createdAt: 5, attempts: 8, at: 6, lastError: 'it is off' }
      await store.record(['agent:1', 'agent:a'].map((target) => ({ ...word, target, state: 'pending' as const })))
      expect(await targets()).toEqual(['agent:a pending'])
      expect(await store.deliveries(id, '', 9)).toMatchObject([{ attempts: 8 }])
    })

    test('leaves alone what is young, and ends when it is told to', async () => {
      const young = await old({ webhook: 'pending', zeromq: 'told' }, 2 * DAY)
      expect([await young.sweep(), await young.left()]).toEqual([0, 101])
      expect((await young.store.deliveries(young.id, '', 9)).map(({ state }) => state)).toEqual(['pending', 'told'])
      const justTold = await old({ webhook: 'told' }, 2 * DAY)
      expect([await justTold.sweep(), await justTold.left()]).toEqual([0, 101])
      const ended = await old({ webhook: 'told' })
      expect([await ended.sweep(AbortSignal.abort()), await ended.left()]).toEqual([0, 101])
    })
  })
})
