import { sql } from 'kysely'
import type { AgentRecord } from '../../../../src/core/identity/agent-record.ts'
import { tpmOf } from '../../../../src/core/identity/tpm-of-record.ts'
import { migrate } from '../../../../src/io/db/migrate.ts'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { PENDING_LIMITS, type PendingLimits } from '../../../../src/io/db/pending-registrations.ts'
import { encodeRecord, REGISTRAR_MIGRATIONS, type RegistrarTables } from '../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../src/io/db/registrar-store.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../databases.ts'
import { softwareAk } from '../../../software-ak.ts'
import { runs } from '../../../thorough.ts'

const KEY = softwareAk('ecc').public
const LATER = 1000
/** Of 20,000 bytes each: more than one network may have. */
const MANY = runs(1500, 500)
const record = (agentId: string, bytes = 0): AgentRecord => ({
  agentId,
  ek: KEY,
  ekCertificate: null,
  ak: KEY,
  iak: null,
  iakCertificate: null,
  idevid: null,
  idevidCertificate: null,
  mtlsCertificate: 'x'.repeat(bytes),
  ip: null,
  port: null,
  regcount: 1,
})
const answerOf = (n: number) => Buffer.from(String(n).padStart(32))

const databases = testDatabases()

async function opened(kind: DatabaseName, limits: PendingLimits = PENDING_LIMITS) {
  const db = await databases.open<RegistrarTables>(kind, 'registrar', REGISTRAR_MIGRATIONS)
  const store = registrarStore(db as never, limits)
  const put = (n: number, { id = 'a', network = 'n', bytes = 0, now = 0 } = {}) =>
    store.putPending({ record: record(id, bytes), answer: answerOf(n), network, expiresAt: now + LATER }, now)
  const held = async () => {
    const { bytes } = await db
      .selectFrom('pending_registrations')
      .select(({ fn }) => fn.sum<number>('bytes').as('bytes'))
      .executeTakeFirstOrThrow()
    return Number(bytes ?? 0)
  }
  return { db, store, put, held }
}

describe.each(DATABASES)('%s', (kind) => {
  const open = (limits?: PendingLimits) => opened(kind, limits)

  test('what was read of a registration is taken for exactly what is stored, once, and for nothing else', async () => {
    const { db, store } = await open()
    const tpm = tpmOf(record('a'))
    const put = (n: number) => store.putPending({ record: record('a'), tpm, answer: answerOf(n), network: 'n', expiresAt: LATER }, 0)
    for (let n = 0; n < 2; n++) await put(n)
    expect((await store.findPending('a', answerOf(0)))?.tpm).toBe(tpm)
    expect(await store.findPending('a', answerOf(0))).toMatchObject({ record: { agentId: 'a', ek: KEY }, network: 'n', expiresAt: LATER })
    expect((await store.findPending('a', answerOf(0)))?.tpm).toBeUndefined()
    const other = encodeRecord({ ...record('a'), ip: '10.0.0.1' })
    await db.updateTable('pending_registrations').set({ record: other }).where('answer', '=', answerOf(1)).execute()
    const changed = await store.findPending('a', answerOf(1))
    expect([changed?.tpm, changed?.record.ip]).toEqual([undefined, '10.0.0.1'])
  })

  test('another registrar of the same database reads what is stored', async () => {
    const { db, store } = await open()
    const tpm = tpmOf(record('a'))
    await store.putPending({ record: record('a'), tpm, answer: answerOf(1), network: 'n', expiresAt: LATER }, 0)
    const found = await registrarStore(db as never).findPending('a', answerOf(1))
    expect([found?.tpm, found?.record]).toEqual([undefined, record('a')])
  })

  test('registrations of one id, by one TPM or by many, wait side by side; each has its own answer', async () => {
    const { store, put } = await open()
    for (let n = 0; n < 5; n++) await put(n)
    for (let n = 0; n < 5; n++) expect(await store.findPending('a', answerOf(n))).not.toBeNull()
    expect(await store.findPending('a', answerOf(7))).toBeNull()
    expect(await store.findPending('b', answerOf(1))).toBeNull()
  })

  test('activations of one moment are one commit, see each other, and one that fails takes back all that it did and nothing else', async () => {
    const { store, put } = await open()
    for (const [n, id] of ['a', 'b', 'c'].entries()) await put(n, { id })
    const order: string[] = []
    const activate = (id: string, isFailing = false) =>
      store
        .alone(async (registrations) => {
          order.push(`${id} after ${(await registrations.list()).join()}`)
          await registrations.activate(record(id))
          if (isFailing) throw new Error('refused')
        })
        .finally(() => order.push(`${id} told`))
    const results = await Promise.allSettled([activate('a'), activate('b', true), activate('c')])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(order).toEqual(['a after ', 'b after a', 'c after a', 'a told', 'b told', 'c told'])
    expect(await store.list()).toEqual(['a', 'c'])
    expect(await Promise.all(['a', 'b', 'c'].map((id) => store.hasPending(id, 0)))).toEqual([false, true, false])
  })

  test('what waits still, because its activation was taken back, counts on', async () => {
    const { store, put, held } = await open({ ofNetwork: 50_000, ofAll: 100_000 })
    for (const n of [0, 1]) await put(n, { id: 'a', bytes: 20_000 })
    const failing = store.alone(async (registrations) => {
      await registrations.activate(record('a'))
      throw new Error('refused')
    })
    await expect(failing).rejects.toThrow('refused')
    await put(2, { id: 'b', bytes: 20_000 })
    expect(await held()).toBeLessThanOrEqual(50_000)
    expect(await store.findPending('a', answerOf(0))).toBeNull()
  })

  test('when one is activated, no other of the id waits any more', async () => {
    const { store, put, held } = await open()
    await put(1)
    await put(2)
    await put(3, { id: 'b' })
    await store.activate(record('a'))
    expect([await store.hasPending('a', 0), await store.hasPending('b', 0)]).toEqual([false, true])
    await store.delete('b')
    expect([await store.hasPending('b', 0), await held()]).toEqual([false, 0])
  })

  test('many of the largest that one network sends stay within its share, and the newest are there', async () => {
    const { store, put, held } = await open()
    for (let n = 0; n < MANY; n++) await put(n, { id: `a-${n}`, bytes: 20_000 })
    expect(await held()).toBeLessThanOrEqual(PENDING_LIMITS.ofNetwork)
    expect(await store.hasPending(`a-${MANY - 1}`, 0)).toBe(true)
    expect(await store.hasPending('a-0', 0)).toBe(false)
  })

  test('what is larger than any registration is not kept', async () => {
    const { put } = await open()
    await expect(put(1, { bytes: 30_000 })).rejects.toMatchObject({ code: 'payload_too_large' })
  })

  test('who fills its share, or all of it, costs nobody in another network', async () => {
    const { store, put, held } = await open({ ofNetwork: 20_000, ofAll: 50_000 })
    await put(0, { id: 'owner', network: 'owner' })
    for (let n = 1; n <= 200; n++) await put(n, { id: 'owner', network: `n${n % 4}`, bytes: 1000 })
    expect(await held()).toBeLessThanOrEqual(50_000)
    expect(await store.findPending('owner', answerOf(0))).not.toBeNull()
  })

  test('what has expired waits no longer and takes no room, also after a restart', async () => {
    const { store, put, held } = await open()
    await put(1)
    await put(2, { id: 'b', now: LATER })
    expect(await store.findPending('a', answerOf(1))).toBeNull()
    expect(await store.hasPending('b', LATER)).toBe(true)
    expect(await store.hasPending('b', 2 * LATER)).toBe(false)
    expect(await held()).toBeLessThan(2000)
  })
})

test('what another registrar of the same database dropped takes no room: nobody gives way to it', async () => {
  const db = await databases.open<RegistrarTables>('PostgreSQL', 'registrar', REGISTRAR_MIGRATIONS)
  const bytes = encodeRecord(record('a')).length + 256
  const registrar = () => registrarStore(db as never, { ofNetwork: 3 * bytes, ofAll: 100 * bytes })
  const [one, other] = [registrar(), registrar()]
  const put = (store: typeof one, n: number, now: number) =>
    store.putPending({ record: record('a'), answer: answerOf(n), network: 'n', expiresAt: now + LATER }, now)
  for (const n of [1, 2, 3]) await put(one, n, 0)
  await put(other, 4, LATER) // drops those that have expired
  await put(one, 5, LATER)
  for (const n of [4, 5]) expect(await other.findPending('a', answerOf(n))).not.toBeNull()
})

test('a database of the release before is taken over: who is registered stays, and is found by its TPM', async () => {
  const db = await openDatabase<RegistrarTables>(':memory:', 'registrar', REGISTRAR_MIGRATIONS.slice(0, 1))
  for (const id of ['a', 'b']) await sql`insert into registered_agents values(${id}, ${encodeRecord(record(id))}, 1)`.execute(db)
  await migrate(db as never, 'registrar', REGISTRAR_MIGRATIONS)
  const store = registrarStore(db as never)
  expect([await store.list(), await store.othersOfTpm(tpmOf(record('a')))]).toEqual([['a', 'b'], ['b']])
  expect(await store.find('a')).toEqual(record('a'))
})
