import { type Kysely, sql } from 'kysely'
import { seamOf } from '../../../../src/io/db/seam.ts'
import { DATABASES, testDatabases } from '../../../databases.ts'

const databases = testDatabases()

describe.each(DATABASES)('%s', (kind) => {
  test.each([
    ['a zero character', '{"name":"fleet","more":"\\u0000"}', 'fleet'],
    ['half a character', '{"name":"fleet","more":"\\ud800 \\udfff"}', 'fleet'],
    ['a whole one', '{"more":"\\ud83d\\ude00","name":"fleet"}', 'fleet'],
    ['a backslash before what looks like one', '{"more":"\\\\ud800\\\\u0000","name":"fleet"}', 'fleet'],
    ['a number that is too large for any', '{"name":"fleet","more":1e400}', 'fleet'],
    ['no JSON', '{"name":', null],
  ])('a member of JSON with %s is read', async (_what, json, expected) => {
    const table = async (fresh: Kysely<unknown>) => void (await sql`create table notes(text text)`.execute(fresh))
    const db = await databases.open(kind, 'notes', [table])
    await sql`insert into notes values(${json})`.execute(db)
    const { rows } = await sql<{ name: string | null }>`select ${seamOf(db).jsonText('text', '$.name')} as name from notes`.execute(db)
    expect(rows).toEqual([{ name: expected }])
  })
})
