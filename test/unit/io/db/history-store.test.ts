import type { Kysely } from 'kysely'
import type { VerifierEvent } from '../../../../src/core/events/verifier-event.ts'
import {
  DEFAULT_HISTORY,
  HISTORY_TABLES,
  type HistoryLimits,
  type HistoryTables,
  historyStore,
} from '../../../../src/io/db/history-store.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'
import { oneOfEach } from '../../../verifier-events.ts'

const databases = testDatabases()
const DAY = 86_400_000
let db: Kysely<HistoryTables>
let now = 1000 * DAY

const open = (limits: Partial<HistoryLimits> = {}) => historyStore(db as never, { ...DEFAULT_HISTORY, ...limits }, () => now)
const attested = (agent_id: string): VerifierEvent => ({ type: 'agent_attested', agent_id })
const EVERYTHING = { agentId: null, since: 0, until: Number.MAX_SAFE_INTEGER, after: 0, limit: 100_000 }
const whose = async (store: ReturnType<typeof open>) => (await store.page(EVERYTHING)).map(({ agentId }) => agentId)

describe.each(DATABASES)('%s', (kind) => {
  beforeEach(async () => {
    db = await databases.open(kind, 'test', [HISTORY_TABLES])
  })
  afterEach(() => db.destroy())

  test('a transaction that is undone leaves no entry', async () => {
    const store = open()
    const undone = db.transaction().execute(async (transaction) => {
      await store.add(transaction, [attested('a')])
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await whose(store)).toEqual([])
  })

  test('verdicts, releases and commands are kept, all else is not', async () => {
    const store = open()
    await store.add(db, oneOfEach())
    const types = (await store.page(EVERYTHING)).map(({ event }) => (event as VerifierEvent).type)
    expect(types.toSorted()).toEqual([
      'agent_address_followed',
      'agent_attested',
      'agent_back',
      'agent_deleted',
      'agent_enrolled',
      'agent_failed',
      'agent_not_taken_up',
      'agent_reactivated',
      'agent_recovered',
      'agent_revoked',
      'agent_stopped',
      'agent_unreachable',
      'agent_updated',
      'delivery_dropped',
      'delivery_ended',
      'delivery_ordered',
      'delivery_refused',
      'v_delivered',
      'v_released',
    ])
  })

  test('a machine that fails and recovers for ever does not push out what is known of the others', async () => {
    const store = open({ rows: 1000, rowsPerAgent: 100 })
    await store.add(db, [attested('quiet')])
    const times = kind === 'SQLite' ? 3000 : 500
    for (let i = 0; i < times; i++) await store.add(db, [attested('flapping')])
    const found = await whose(store)
    expect(found[0]).toBe('quiet')
    expect(found.length).toBeLessThanOrEqual(1 + 100 + 64)
  })

  test('of all machines no more is kept than the limit, the newest', async () => {
    const store = open({ rows: 200, rowsPerAgent: 10 })
    for (let i = 0; i < 500; i++) await store.add(db, [attested(`m${i}`)])
    const found = await whose(store)
    expect(found.length).toBeLessThanOrEqual(200)
    expect([found.length > 150, found.at(-1), found.includes('m0')]).toEqual([true, 'm499', false])
  })

  test('many at once are kept as one after the other: each once, in their order, within the same limits', async () => {
    const store = open({ rows: 300, rowsPerAgent: 10 })
    const many = Array.from({ length: 60 }, (_, i) => attested(`m${i % 20}`))
    await store.add(db, many)
    expect(await whose(store)).toEqual(many.map((event) => (event as { agent_id: string }).agent_id))
    const noisy = () => [...Array.from({ length: 40 }, () => attested('flapping')), ...many.slice(0, 5)]
    for (let i = 0; i < 20; i++) await store.add(db, noisy())
    const found = await whose(store)
    const of = (id: string) => found.filter((each) => each === id).length
    expect(of('flapping')).toBeLessThanOrEqual(10 + 64)
    expect([of('m0'), of('m19')]).toEqual([3 + 20, 3]) // less than 64 since the last look
    for (let i = 0; i < 20; i++) await store.add(db, many)
    expect((await whose(store)).length).toBeLessThanOrEqual(300)
    expect((await whose(store)).at(-1)).toBe('m19')
  })

  test('of a machine that has left and comes back among many, the newest entries are kept', async () => {
    for (let i = 0; i < 30; i++) await open().add(db, [attested('again')])
    await open({ rowsPerAgent: 10 }).add(
      db,
      Array.from({ length: 20 }, (_, i) => attested(i === 7 ? 'again' : `m${i}`)),
    )
    const found = await open().page(EVERYTHING)
    expect(found.filter(({ agentId }) => agentId === 'again').map(({ id }) => id)).toEqual([22, 23, 24, 25, 26, 27, 28, 29, 30, 38])
    expect(found).toHaveLength(10 + 19)
  })

  test('what is too old is not shown, and erased by the next sweep', async () => {
    const store = open({ days: 30 })
    await store.add(db, [attested('old')])
    now += 20 * DAY
    await store.add(db, [attested('new')])
    now += 11 * DAY
    expect(await whose(store)).toEqual(['new'])
    expect([await store.sweep(), await store.sweep()]).toEqual([1, 0])
    now -= 31 * DAY
    expect(await whose(store)).toEqual(['new'])
  })

  test('with history_rows = 0 nothing is kept', async () => {
    const store = open({ rows: 0 })
    await store.add(db, [attested('a')])
    expect(await whose(store)).toEqual([])
  })

  test('pages follow one another, of one machine and in a span of time', async () => {
    const store = open()
    for (const id of ['a', 'b', 'a', 'b', 'a']) {
      await store.add(db, [attested(id)])
      now += DAY
    }
    const first = await store.page({ ...EVERYTHING, agentId: 'a', limit: 2 })
    const second = await store.page({ ...EVERYTHING, agentId: 'a', limit: 2, after: first.at(-1)!.id })
    expect([...first, ...second].map(({ id }) => id)).toEqual([1, 3, 5])
    expect((await store.page({ ...EVERYTHING, since: now - 3 * DAY, until: now - DAY })).map(({ id }) => id)).toEqual([3, 4])
  })
})
