import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Kysely, sql } from 'kysely'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { asOfNow, openToRead } from '../../../../src/io/db/open-to-read.ts'
import { keepJournalShort } from '../../../../src/io/db/short-journal.ts'
import { until } from '../../../servers.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-journal-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

const SECRET = 'what was erased'
const TABLE = async (db: Kysely<unknown>) => void (await sql`create table kept(v text)`.execute(db))

test('what was erased is soon in no file of the database, and what was not is there', async () => {
  const file = path.join(dir, 'x.sqlite')
  const db = await openDatabase<unknown>(file, 'x', [TABLE])
  const holders = () => fs.readdirSync(dir).filter((name) => fs.readFileSync(path.join(dir, name)).includes(SECRET))
  await sql`insert into kept values(${SECRET}), (${'what stays'})`.execute(db)
  await sql`delete from kept where v = ${SECRET}`.execute(db)
  expect(holders()).toEqual(['x.sqlite-wal']) // without it: until 4 MiB were written
  const stop = keepJournalShort(db, 20)
  await until('the log to be cut off', () => holders().length === 0)
  stop()
  expect(await sql`select v from kept`.execute(db)).toMatchObject({ rows: [{ v: 'what stays' }] })
  await db.destroy()
})

test('a database that is closed meanwhile is nobody’s failure', async () => {
  const db = await openDatabase<unknown>(path.join(dir, 'y.sqlite'), 'y', [TABLE])
  const stop = keepJournalShort(db, 1)
  await db.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  stop()
})

test('another process that reads, such as a backup, is not waited for, and the log is cut off behind it', async () => {
  const file = path.join(dir, 'z.sqlite')
  const db = await openDatabase<unknown>(file, 'z', [TABLE])
  const reader = await openToRead(file, '')
  const begun = performance.now()
  let stop = () => {}
  await asOfNow(reader, async (snapshot) => {
    expect(await sql`select * from kept`.execute(snapshot)).toMatchObject({ rows: [] })
    await sql`insert into kept values(${SECRET})`.execute(db)
    stop = keepJournalShort(db, 1)
    for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 2))
    expect(await sql`select * from kept`.execute(snapshot)).toMatchObject({ rows: [] })
  })
  expect(performance.now() - begun).toBeLessThan(4000) // SQLite would have waited for five seconds, each time
  await until('the log to be cut off', () => fs.statSync(`${file}-wal`).size === 0)
  stop()
  expect(await sql`pragma busy_timeout`.execute(db)).toMatchObject({ rows: [{ timeout: 5000 }] })
  await reader.destroy()
  await db.destroy()
})
