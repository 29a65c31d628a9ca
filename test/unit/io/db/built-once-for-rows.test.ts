import { type Kysely, sql } from 'kysely'
import { builtOnceForRows } from '../../../../src/io/db/built-once.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

interface Tables {
  things: { id: number; name: string | null; note: string | null }
}

const databases = testDatabases()
let built = 0
const put = builtOnceForRows<Tables, Tables['things']>((db, { id, name, note }) => {
  built++
  return db
    .insertInto('things')
    .values({ note, name, id })
    .onConflict((c) => c.column('id').doUpdateSet({ name }))
    .compile()
})
const notesOf = builtOnceForRows<Tables, { name: string; least: number }, { note: string | null }>((db, { name, least }) =>
  sql<{ note: string | null }>`select note from things where name = ${name} and id >= ${least} and ${name} <> 'none' order by id`.compile(
    db,
  ),
)

describe.each(DATABASES)('%s', (kind) => {
  let db: Kysely<Tables>
  beforeEach(async () => {
    built = 0
    db = await databases.open<Tables>(kind, 'things', [
      async (fresh) => void (await sql`create table things(id integer primary key, name text, note text)`.execute(fresh)),
    ])
  })
  afterEach(() => db.destroy())

  test('a statement that is built once has the values of each use, also in transactions', async () => {
    const affected = [
      await put(db, { id: 1, name: 'a', note: 'x' }),
      await db.transaction().execute((transaction) => put(transaction, { id: 2, name: 'a', note: null })),
      await put(db, { id: 3, name: null, note: "'; drop table things" }),
      await put(db, { id: 3, name: 'b', note: 'not changed' }),
    ].map(({ numAffectedRows }) => numAffectedRows)
    expect([built, affected]).toEqual([1, [1n, 1n, 1n, 1n]])
    const notes = async (name: string, least: number) => (await notesOf(db, { name, least })).rows.map(({ note }) => note)
    expect([await notes('a', 1), await notes('a', 2), await notes('b', 0), await notes('c', 0)]).toEqual([
      ['x', null],
      [null],
      ["'; drop table things"],
      [],
    ])
  })

  test('what was built for one database is not used for another', async () => {
    const other = await databases.open<Tables>(kind === 'SQLite' ? 'PostgreSQL' : 'SQLite', 'things', [
      async (fresh) => void (await sql`create table things(id integer primary key, name text, note text)`.execute(fresh)),
    ])
    for (const each of [db, other, db, other]) await put(each, { id: 1, name: 'a', note: 'x' })
    expect([built, (await notesOf(other, { name: 'a', least: 1 })).rows]).toEqual([2, [{ note: 'x' }]])
    await other.destroy()
  })
})
