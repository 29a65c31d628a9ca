import { createHash } from 'node:crypto'
import { jest } from '@jest/globals'
import { type Kysely, sql } from 'kysely'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { type PolicyStore, policyStore } from '../../../../src/io/db/policy-store.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'

let database: Kysely<unknown>
let store: PolicyStore
beforeEach(async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
  database = await openDatabase<unknown>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  store = policyStore(database)
})
afterEach(async () => {
  jest.useRealTimers()
  await database.destroy()
})

/** Of some pieces. */
function body(filled: string) {
  const bytes = Buffer.alloc(2_500_000, filled)
  return { digest: createHash('sha256').update(bytes).digest('hex'), bytes }
}
const piecesOf = async (digest: string) =>
  (await sql<{ n: number }>`select count(*) as n from policy_pieces where digest = ${digest}`.execute(database)).rows[0]!.n
async function untilGone(digest: string): Promise<void> {
  for (let turns = 0; (await piecesOf(digest)) > 0; turns++) {
    expect(turns).toBeLessThan(100)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('a body that no name stands for any more goes a moment after its replacement was answered', async () => {
  const [old, next] = [body('a'), body('b')]
  await store.put('runtime', 'fleet', { body: old, must: 'create' })
  expect(await store.put('runtime', 'fleet', { body: next, must: 'replace' })).toBe(old.digest)
  expect([await piecesOf(old.digest), (await store.body(next.digest))?.equals(next.bytes)]).toEqual([3, true])
  jest.advanceTimersByTime(1000)
  await untilGone(old.digest)
  expect([await store.body(old.digest), (await store.body(next.digest))?.equals(next.bytes)]).toEqual([null, true])
})

test('one that has a name again by then stays, and one that was deleted goes', async () => {
  const [first, second] = [body('a'), body('b')]
  await store.put('runtime', 'fleet', { body: first, must: 'create' })
  await store.put('runtime', 'fleet', { body: second, must: 'replace' })
  await store.put('runtime', 'fleet', { body: first, must: 'replace' })
  jest.advanceTimersByTime(1000)
  await untilGone(second.digest)
  expect((await store.body(first.digest))?.equals(first.bytes)).toBe(true)
  expect(await store.delete('runtime', 'fleet')).toBe(first.digest)
  jest.advanceTimersByTime(1000)
  await untilGone(first.digest)
})
