import { type Kysely, sql } from 'kysely'
import { builtOnce } from '../../../../src/io/db/built-once.ts'
import type { Migration } from '../../../../src/io/db/migrate.ts'
import { changing } from '../../../../src/io/db/seam.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../databases.ts'

interface Tables {
  words: { word: string; bytes: Uint8Array; count: number | null }
}
const MIGRATIONS: readonly Migration[] = [
  async (db) => void (await sql`create table words(word text primary key, bytes blob not null, count integer)`.execute(db)),
]
const databases = testDatabases()
const opened = (kind: DatabaseName) => databases.open<Tables>(kind, 'registrar', MIGRATIONS)

/** Counts how often each is built. */
function queries() {
  const built: string[] = []
  const put = builtOnce((db: Kysely<Tables>, word: string, bytes: Buffer, count: number | null) => {
    built.push('put')
    const row = { word, bytes, count }
    return db
      .insertInto('words')
      .values(row)
      .onConflict((c) => c.column('word').doUpdateSet(row))
  })
  const find = builtOnce((db: Kysely<Tables>, least: number, ...words: [string, string]) => {
    built.push('find')
    return db.selectFrom('words').select(['word', 'count']).where('word', 'in', words).where('count', '>=', least).orderBy('word').limit(5)
  })
  return { put, find, built }
}

describe.each(DATABASES)('%s', (kind) => {
  test('a query is built once for a database and its transactions, and each run has values of its own', async () => {
    const db = await opened(kind)
    const { put, find, built } = queries()
    await put(db, 'a', Buffer.from([1]), 1)
    await changing(db, async (transaction) => {
      await put(transaction, 'b', Buffer.from([2]), 2)
      await put(transaction, 'a', Buffer.from([3]), 7)
      await put(transaction, 'c', Buffer.from([4]), null)
    })
    expect((await find(db, 0, 'a', 'c')).rows).toEqual([{ word: 'a', count: 7 }])
    expect((await find(db, 2, 'b', 'a')).rows.map(({ word }) => word)).toEqual(['a', 'b'])
    expect((await find(db, 3, 'b', 'b')).rows).toEqual([])
    expect(built).toEqual(['put', 'find'])
  })

  test('another database gets a query of its own', async () => {
    const [one, other] = [await opened(kind), await opened(kind)]
    const { put, find, built } = queries()
    await put(one, 'a', Buffer.from([1]), 1)
    await put(other, 'a', Buffer.from([1]), 2)
    expect([(await find(one, 0, 'a', 'b')).rows, (await find(other, 0, 'a', 'b')).rows]).toEqual([
      [{ word: 'a', count: 1 }],
      [{ word: 'a', count: 2 }],
    ])
    expect(built).toEqual(['put', 'put', 'find', 'find'])
  })
})
