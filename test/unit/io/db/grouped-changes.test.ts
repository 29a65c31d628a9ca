import { type Kysely, sql } from 'kysely'
import { groupedChanges, type Together } from '../../../../src/io/db/grouped-changes.ts'
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

/** Insertions that know how they were made: alone, or with how many others. */
function insertions(): { kind: Together<Tables, number, number>; made: number[][] } {
  const made: number[][] = []
  const kind: Together<Tables, number, number> = {
    async one(transaction, number) {
      made.push([number])
      await insert(number)(transaction)
      return number
    },
    async several(transaction, numbers) {
      made.push([...numbers])
      const results: (number | Error)[] = []
      for (const number of numbers) {
        if (number > 0) await insert(number)(transaction)
        results.push(number > 0 ? number : new Error('not positive'))
      }
      return results
    },
  }
  return { kind, made }
}
const NUMBERS = Array.from({ length: 12 }, (_, i) => i + 1)
const together = (change: ReturnType<typeof changes>, kind: Together<Tables, number, number>, numbers: readonly number[]) =>
  numbers.map((number) => change.together(kind, number, `m${number}`))

test('changes of a kind are made at once, each with a result of its own; a few, or one, are made one by one', async () => {
  const change = changes()
  const { kind, made } = insertions()
  const outcomes = await Promise.allSettled([...together(change, kind, [...NUMBERS, 0]), change(insert(100), ['other'])])
  expect(made).toEqual([[...NUMBERS, 0]])
  expect(outcomes.slice(0, 12)).toEqual(NUMBERS.map((value) => ({ status: 'fulfilled', value })))
  expect(outcomes[12]).toMatchObject({ reason: { message: 'not positive' } })
  await Promise.all(together(change, kind, [20, 21]))
  await Promise.all(together(change, kind, [22]))
  expect(made.slice(1)).toEqual([[20], [21], [22]])
  expect(await stored()).toEqual([...NUMBERS, 20, 21, 22, 100])
})

test.each([
  ['with others in the group', [1000]],
  ['alone in the group', []],
])('when they cannot be made at once, each is made alone: %s', async (_where, others) => {
  const change = changes()
  const { kind, made } = insertions()
  await change(insert(5))
  const outcomes = await Promise.allSettled([...together(change, kind, NUMBERS), ...others.map((number) => change(insert(number)))])
  expect(made).toEqual([NUMBERS, ...NUMBERS.map((number) => [number])])
  expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([...NUMBERS, ...others].map((number) => number !== 5))
  expect(await stored()).toEqual([...NUMBERS, ...others])
})

test('what concerns a machine stays in the order in which it came, and behind what may concern any, nothing is made at once', async () => {
  const change = changes()
  const { kind, made } = insertions()
  const seen: string[] = []
  const note = (what: string) => async () => void seen.push(`${what} behind ${made.flat().length}`)
  const all = [
    ...together(change, kind, NUMBERS.slice(0, 5)),
    change(note('of 6'), ['m6']),
    ...together(change, kind, NUMBERS.slice(5)),
    change(note('of any')),
    ...together(change, kind, [20]),
  ]
  await Promise.all(all)
  expect(made).toEqual([NUMBERS.filter((number) => number !== 6), [6], [20]])
  expect(seen).toEqual(['of 6 behind 11', 'of any behind 12'])
})

test('a change that is alone takes back all that it did, and the next one is made', async () => {
  const change = changes()
  const broken = change(async (transaction) => {
    await insert(1)(transaction)
    throw new Error('broken')
  })
  await expect(broken).rejects.toThrow('broken')
  expect([await stored(), commits]).toEqual([[], 0])
  await change(insert(2))
  expect([await stored(), commits]).toEqual([[2], 1])
})
