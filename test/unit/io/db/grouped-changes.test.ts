import { type Kysely, sql } from 'kysely'
import { groupedChanges } from '../../../../src/io/db/grouped-changes.ts'
import { openDatabase } from '../../../../src/io/db/open-database.ts'

interface Tables {
  numbers: { number: number }
}
let db: Kysely<Tables>
let commits = 0
beforeEach(async () => {
  const table = async (fresh: Kysely<unknown>) => void (await sql`create table numbers(number integer primary key)`.execute(fresh))
  db = await openDatabase<Tables>(':memory:', 'numbers', [table])
  commits = 0
})
afterEach(() => db.destroy())

const changes = () => groupedChanges(db, async () => void commits++)
const insert = (number: number) => (transaction: Kysely<Tables>) => transaction.insertInto('numbers').values({ number }).execute()
const stored = async () => (await db.selectFrom('numbers').select('number').orderBy('number').execute()).map(({ number }) => number)

test('changes of one turn are one commit, each in the order in which it came', async () => {
  const change = changes()
  const seen: number[] = []
  await Promise.all(
    [3, 1, 2].map((number) =>
      change(async (transaction) => {
        await insert(number)(transaction)
        seen.push(number)
        return number
      }),
    ),
  )
  expect([seen, await stored(), commits]).toEqual([[3, 1, 2], [1, 2, 3], 1])
  await change(insert(4))
  expect(commits).toBe(2)
})

test('one that fails takes back all that it did, and the others stay', async () => {
  const change = changes()
  const broken = async (transaction: Kysely<Tables>) => {
    await insert(2)(transaction)
    await insert(1)(transaction)
  }
  const results = await Promise.allSettled([change(insert(1)), change(broken), change(insert(3)), change(async () => 'value')])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect(results[1]).toMatchObject({ reason: { message: expect.stringMatching(/UNIQUE/) } })
  expect(results[3]).toMatchObject({ value: 'value' })
  expect([await stored(), commits]).toEqual([[1, 3], 1])
})

test('nobody is told before the commit, and when it fails nothing is stored and all are told', async () => {
  await sql`create table parents(id integer primary key)`.execute(db)
  await sql`create table children(parent integer references parents(id) deferrable initially deferred)`.execute(db)
  const change = changes()
  const orphan = change(async (transaction) => sql`insert into children values (7)`.execute(transaction)) // found out by the commit
  const results = await Promise.allSettled([change(insert(1)), orphan])
  expect(results).toMatchObject([{ status: 'rejected', reason: { message: expect.stringMatching(/FOREIGN KEY/) } }, { status: 'rejected' }])
  expect(await stored()).toEqual([])
  await change(insert(2))
  expect(await stored()).toEqual([2])
})

test('more than fit into one commit are several', async () => {
  const change = changes()
  await Promise.all(Array.from({ length: 150 }, (_, i) => change(insert(i))))
  expect([(await stored()).length, commits]).toEqual([150, 3])
})
