import { type Kysely, sql } from 'kysely'
import { FAILED_ROUND_TABLES, type FailedRoundTables, failedRoundStore } from '../../../../src/io/db/failed-round-store.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const AGENTS = async (db: Kysely<unknown>) => void (await sql`create table agents(agent_id text primary key)`.execute(db))
const databases = testDatabases()
let db: Kysely<FailedRoundTables>

const round = (at: number, size: number) => ({
  at,
  failures: [],
  judges: { tpmPolicy: '{}', pcrs: [16], hashAlg: 'sha256', runtimePolicy: null, mbPolicy: null, bootPolicy: 'accept-all' },
  attestationCount: 3,
  lastGood: 2,
  evidence: Buffer.alloc(size, at),
  cut: [],
})

describe.each(DATABASES)('%s', (kind) => {
  beforeEach(async () => {
    db = await databases.open(kind, 'test', [AGENTS, FAILED_ROUND_TABLES])
    for (const id of ['a', 'b', 'c', 'd']) await sql`insert into agents values(${id})`.execute(db)
  })
  afterEach(() => db.destroy())

  test('the last failed round of an agent takes the place of the one before, and goes with the agent', async () => {
    const store = failedRoundStore(1 << 30)
    await store.put(db, 'a', round(1, 10))
    await store.put(db, 'a', round(2, 20))
    expect(await store.find(db, 'a')).toEqual(round(2, 20))
    expect(await store.find(db, 'b')).toBeNull()
    await sql`delete from agents where agent_id = 'a'`.execute(db)
    expect(await store.find(db, 'a')).toBeNull()
  })

  test('evidence that has no room at all is not kept, and takes none from others', async () => {
    const store = failedRoundStore(100)
    await store.put(db, 'a', round(1, 40))
    await store.put(db, 'b', round(2, 101))
    expect((await store.find(db, 'a'))?.evidence?.length).toBe(40)
    expect(await store.find(db, 'b')).toEqual({ ...round(2, 0), evidence: null, cut: ['evidence'] })
  })

  test('when the evidence of all agents has no room, the oldest is given up, and every story stays', async () => {
    await failedRoundStore(1 << 30).put(db, 'a', round(1, 40)) // by an earlier run
    const store = failedRoundStore(100)
    await store.put(db, 'b', round(2, 40))
    expect((await store.find(db, 'a'))?.evidence?.length).toBe(40)
    await store.put(db, 'c', round(3, 40))
    expect(await store.find(db, 'a')).toEqual({ ...round(1, 0), evidence: null, cut: ['evidence'] })
    expect((await store.find(db, 'b'))?.evidence?.length).toBe(40)
    expect((await store.find(db, 'c'))?.evidence?.length).toBe(40)
    await store.put(db, 'd', round(4, 10))
    expect((await store.find(db, 'b'))?.evidence?.length).toBe(40)
  })
})
