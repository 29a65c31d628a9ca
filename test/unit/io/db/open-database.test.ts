import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { sql } from 'kysely'
import { type DatabaseOptions, databasePlace, openDatabase } from '../../../../src/io/db/open-database.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-database-'))
const place = (url: string, more: Partial<DatabaseOptions> = {}) =>
  databasePlace({ database_url: url, database_password_file: '', database_pool_sz_ovfl: '5,10', ...more }, '/var/lib/keylime/default')
afterAll(() => fs.rmSync(directory, { recursive: true }))
const open = (name: string) => openDatabase(path.join(directory, name), 'test', [])
const mode = (name: string) => (fs.statSync(path.join(directory, name)).mode & 0o777).toString(8)

test.each([
  ['synchronous', 2], // FULL: a commit is on the disk, also when power fails
  ['journal_mode', 'wal'],
  ['foreign_keys', 1],
])('a database is opened with %s = %s', async (pragma, value) => {
  const db = await open(`${pragma}.sqlite`)
  const { rows } = await sql.raw<Record<string, unknown>>(`pragma ${pragma}`).execute(db)
  expect(rows).toEqual([{ [pragma]: value }])
  await db.destroy()
})

test.each([
  ['', '/var/lib/keylime/default'],
  ['sqlite', '/var/lib/keylime/default'],
  ['sqlite:////var/x.sqlite', '/var/x.sqlite'],
  ['sqlite:///var/x.sqlite', '/var/x.sqlite'],
])('database_url = "%s" is the file %s', (url, file) => expect(place(url)).toBe(file))

test('a server is a place with a bounded pool; its password file is beside the others', () => {
  const url = 'postgresql+psycopg2://me@db.example/keylime'
  const more = { database_password_file: 'db-password', database_pool_sz_ovfl: '20, 5' }
  expect(place(url, more)).toMatchObject({
    server: { host: 'db.example', user: 'me' },
    passwordFile: '/var/lib/keylime/db-password',
    poolSize: 25,
  })
  expect(place(url, { database_pool_sz_ovfl: '1,0' })).toMatchObject({ passwordFile: null, poolSize: 4 })
})

test.each([
  ['mysql://me:secret@host/db', 'mysql://me:[secret]@host/db'],
  ['postgresql://me:secret@host', 'postgresql://me:[secret]@host'],
  ['postgresql://me@host/db?password=secret&tls=1', 'postgresql://me@host/db?password=[secret]'],
  ['mysql', 'mysql'],
  ['xsqlite:///a', 'xsqlite:///a'],
  ['sqlite:///', 'sqlite:///'],
  ['sqlite:///a\nb', 'sqlite:///a\nb'],
])('database_url = "%s" is refused, without its password', (url, shown) => {
  const message = `the database ${shown} is not supported`
  expect(() => place(url)).toThrow(expect.objectContaining({ code: 'config_invalid', message }))
})

test('what another program has locked is waited for, five seconds', async () => {
  const db = await open('locked.sqlite')
  expect((await sql`pragma busy_timeout`.execute(db)).rows).toEqual([{ timeout: 5000 }])
  await db.destroy()
})

test('a database and what SQLite puts beside it are readable by their owner only, whatever the umask', async () => {
  const umask = process.umask(0)
  const db = await open('private.sqlite')
  await sql`create table t(a)`.execute(db)
  process.umask(umask)
  const files = fs.readdirSync(directory).filter((name) => name.startsWith('private.sqlite'))
  expect(files.sort()).toEqual(['private.sqlite', 'private.sqlite-shm', 'private.sqlite-wal'])
  expect(files.map(mode)).toEqual(['600', '600', '600'])
  await db.destroy()
})

test('a database that cannot be migrated is closed', async () => {
  const file = path.join(directory, 'closed.sqlite')
  const broken = async () => {
    throw new Error('no such column')
  }
  await expect(openDatabase(file, 'test', [broken])).rejects.toThrow('no such column')
  const open = fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return [] // the one that read the directory
    }
  })
  expect(open.filter((name) => name.startsWith(fs.realpathSync(directory)))).toEqual([])
})

test('what cannot be opened is said with its name; memory is no file', async () => {
  const message = expect.stringContaining(`cannot open the database ${directory}/none/x`)
  await expect(open('none/x')).rejects.toMatchObject({ code: 'database_failed', message })
  await (await openDatabase(':memory:', 'test', [])).destroy()
  const isFile = fs.existsSync(':memory:')
  fs.rmSync(':memory:', { force: true })
  expect(isFile).toBe(false)
})
