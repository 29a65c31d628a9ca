import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Kysely, sql } from 'kysely'
import { checkDatabase, type ExpectedDatabase } from '../../../../src/io/db/check-database.ts'
import { databasePlace, openDatabase, openDatabaseIn } from '../../../../src/io/db/open-database.ts'
import { passwordFromPassfile } from '../../../../src/io/db/postgres-passfile.ts'
import { openClient, openPool, type PostgresPlace } from '../../../../src/io/db/postgres-pool.ts'
import { changing } from '../../../../src/io/db/seam.ts'
import { startPostgres, type TestPostgres } from '../../../postgres.ts'
import { postgresProxy } from '../../../postgres-proxy.ts'
import { until } from '../../../servers.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-postgres-test-'))
const file = (name: string, text = '') => {
  const at = path.join(directory, name)
  if (text !== '') fs.writeFileSync(at, text, { mode: 0o600 })
  return at
}
const TABLE = [
  async (db: Kysely<unknown>) => void (await sql`create table notes(name text primary key, bytes blob, at integer)`.execute(db)),
]
const EXPECTED: ExpectedDatabase = { keylimeDir: directory, role: 'verifier', newest: 1 }

let server: TestPostgres
const opened: Kysely<never>[] = []

beforeAll(async () => {
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore', cwd: directory })
  for (const [name, subject] of [['server', 'subjectAltName=DNS:localhost'] as const, ['other', 'subjectAltName=DNS:localhost'] as const])
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      ...['-addext', subject],
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
    )
  const text = (name: string) => fs.readFileSync(file(name), 'utf8')
  server = await startPostgres({
    settings: ['ssl = on', "ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'"],
    files: { 'server.pem': text('server.pem'), 'server.key': text('server.key') },
    accounts: [
      'hostnossl all plain 127.0.0.1/32 trust',
      'hostssl all encrypted all trust',
      'host all secretive 127.0.0.1/32 scram-sha-256',
      'host all keylime,poor all trust',
    ],
  })
  await server.query(`create role plain superuser login; create role encrypted superuser login; create role poor login;
    create role secretive superuser login password 'opensesame'`)
})
afterAll(async () => {
  for (const db of opened) await db.destroy()
  await server.remove()
  fs.rmSync(directory, { recursive: true })
})

function placeOf(user: string, { host = '127.0.0.1', query = '', passwordFile = '' } = {}): PostgresPlace {
  const url = `postgresql+psycopg2://${user}@${host}:${server.port}/keylime?connect_timeout=2&${query}`
  return databasePlace(
    { database_url: url, database_password_file: passwordFile, database_pool_sz_ovfl: '3,1' },
    '/unused',
  ) as PostgresPlace
}

async function open(place: PostgresPlace, role = 'test', migrations = TABLE): Promise<Kysely<never>> {
  const db = await openDatabase<never>(place, role, migrations)
  opened.push(db)
  return db
}

const me = async (db: Kysely<never>) => (await sql<{ me: string }>`select current_user as me`.execute(db)).rows[0]!.me

describe('a password', () => {
  test('may stand in the URL, in a file that is read at each connection, or in a passfile', async () => {
    expect(await me(await open(placeOf('secretive:opensesame')))).toBe('secretive')
    expect(await me(await open(placeOf('secretive', { passwordFile: file('password', 'opensesame\n') })))).toBe('secretive')
    const passfile = file('pgpass', `127.0.0.1:${server.port}:keylime:secretive:opensesame\n`)
    expect(await me(await open(placeOf('secretive', { query: `passfile=${passfile}` })))).toBe('secretive')
  })

  test('of a passfile counts for its server, database and user; one that others may read counts for nothing', async () => {
    const { server: asked } = placeOf('u', {
      query: `passfile=${file('passes', `# *:*:*:*:no\nelsewhere:*:*:*:no\n*:${server.port}:k\\:x:*:no\n*:*:keylime:u:a\\:b\\\\c\n`)}`,
    })
    expect(await passwordFromPassfile(asked, 'u', {})).toBe('a:b\\c')
    expect(await passwordFromPassfile(asked, 'somebody', {})).toBeUndefined()
    expect(await passwordFromPassfile({ ...asked, passfile: null }, 'u', { PGPASSFILE: file('passes') })).toBe('a:b\\c')
    fs.chmodSync(file('passes'), 0o640)
    await expect(passwordFromPassfile(asked, 'u', {})).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('chmod 600'),
    })
    await expect(passwordFromPassfile({ ...asked, passfile: '/nowhere/p' }, 'u', {})).rejects.toThrow('/nowhere/p')
  })

  test.each([
    ['a wrong one', 'secretive:abracadabra', '', /password authentication failed/],
    ['none', 'secretive', '', /it asks for a password, and none is given/],
    ['an empty file', 'secretive', file('empty', '\n'), /it asks for a password, and none is given/],
    ['a file that is not there', 'secretive', '/nowhere/password', /ENOENT/],
  ])('%s is refused, with what to do and without what it is', async (_what, user, passwordFile, message) => {
    const error = await open(placeOf(user, { passwordFile })).catch((e) => e)
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(message),
      hint: expect.stringContaining('database_password_file'),
    })
    expect(`${error.message}${error.hint}`).not.toContain('abracadabra')
  })

  test('that cannot be had leaves no connection open at the server', async () => {
    const place = placeOf('secretive', { passwordFile: '/nowhere/password' })
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
    const before = sockets()
    const pool = await openPool(place, 'pg_catalog')
    for (let i = 0; i < 10; i++) await expect(pool.connect()).rejects.toMatchObject({ code: 'unavailable' })
    for (let i = 0; i < 10; i++) await expect(openClient(place)).rejects.toThrow('ENOENT')
    await until('no connection', async () => sockets() <= before)
    await pool.end()
  })

  test('in a file that every user may read is refused at the start, and one that is opened later passes by', async () => {
    const passwordFile = file('open-password', 'opensesame\n')
    const db = await open(placeOf('secretive', { passwordFile }))
    fs.chmodSync(passwordFile, 0o644)
    await expect(open(placeOf('secretive', { passwordFile }))).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/^database_password_file: .*open-password can be read by every user/),
    })
    fs.chmodSync(passwordFile, 0o600)
    expect(await me(db)).toBe('secretive')
  })
})

describe('TLS', () => {
  const root = (name: string) => `sslrootcert=${file(`${name}.pem`)}`
  const isEncrypted = async (db: Kysely<never>) =>
    (await sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(db)).rows[0]!.ssl

  test.each([
    ['verify-full by name', 'localhost', () => `sslmode=verify-full&${root('server')}`],
    ['verify-ca by an address', '127.0.0.1', () => `sslmode=verify-ca&${root('server')}`],
    ['require without an authority', '127.0.0.1', () => 'sslmode=require'],
    ['prefer, which is never without', '127.0.0.1', () => 'sslmode=prefer'],
  ])('%s', async (_what, host, query) => expect(await isEncrypted(await open(placeOf('encrypted', { host, query: query() })))).toBe(true))

  test.each([
    ['verify-full, and the certificate is for another name', 'encrypted', () => `sslmode=verify-full&${root('server')}`],
    ['verify-ca by another authority', 'encrypted', () => `sslmode=verify-ca&${root('other')}`],
    ['require with another authority', 'encrypted', () => `sslmode=require&${root('other')}`],
    ['disable, where the server wants it', 'encrypted', () => 'sslmode=disable'],
    ['require, where the server does not', 'plain', () => 'sslmode=require'],
  ])('%s is refused', async (_what, user, query) => {
    await expect(open(placeOf(user, { query: query() }))).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringMatching(/sslmode|pg_hba/),
    })
  })

  test('a file that is not there is named', async () => {
    const query = 'sslmode=verify-full&sslrootcert=/nowhere/ca.pem'
    await expect(open(placeOf('encrypted', { query }))).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('/nowhere/ca.pem'),
    })
  })
})

test('a server that is not there is told soon, also by --check-config', async () => {
  const nobody = { ...placeOf('keylime'), server: { ...placeOf('keylime').server, port: 1 } }
  const told = { code: 'unavailable', hint: expect.stringContaining('check that the server runs') }
  await expect(open(nobody)).rejects.toMatchObject(told)
  await expect(checkDatabase(nobody, EXPECTED)).rejects.toMatchObject(told)
  await checkDatabase(placeOf('keylime'), EXPECTED)
})

test('a schema of a newer version is told by --check-config, which changes nothing; one of another user is refused', async () => {
  const db = await openDatabaseIn<never>(placeOf('keylime'), { role: 'verifier', schema: 'keylime_verifier' }, TABLE)
  await checkDatabase(placeOf('keylime'), EXPECTED)
  await sql`update keylime_schema set version = 999`.execute(db)
  await expect(checkDatabase(placeOf('keylime'), EXPECTED)).rejects.toMatchObject({
    code: 'database_failed',
    message: 'the verifier database has version 999, this program knows 1',
    hint: expect.stringContaining('newer keylime'),
  })
  await checkDatabase(placeOf('keylime'), { ...EXPECTED, role: 'registrar' })
  expect((await sql`select * from keylime_schema`.execute(db)).rows).toEqual([{ name: 'verifier', version: 999 }])
  const told = {
    code: 'database_failed',
    message: expect.stringContaining('refuses this user'),
    hint: expect.stringContaining('owner to USER'),
  }
  await expect(checkDatabase(placeOf('poor'), EXPECTED)).rejects.toMatchObject(told)
  await expect(open(placeOf('poor'), 'verifier')).rejects.toMatchObject(told)
  await sql`grant usage, create on schema keylime_verifier to poor`.execute(db)
  await expect(open(placeOf('poor'), 'verifier')).rejects.toMatchObject(told)
  await sql`drop schema keylime_verifier cascade`.execute(db)
  await db.destroy()
})

test('a user without the right to make a schema is told which right; one that is his is enough', async () => {
  await expect(open(placeOf('poor'), 'poor')).rejects.toMatchObject({
    code: 'database_failed',
    hint: expect.stringContaining('create schema keylime_poor authorization USER'),
  })
  await server.query('create schema keylime_poor authorization poor')
  expect(await me(await open(placeOf('poor'), 'poor'))).toBe('poor')
})

test('roles and other programs share a database: each has a schema of its own', async () => {
  await server.query('create table public.notes(other text)')
  await open(placeOf('keylime'), 'one')
  await open(placeOf('keylime'), 'two')
  const rows = await server.query<{ schema: string }>("select schemaname as schema from pg_tables where tablename = 'notes' order by 1")
  expect(rows.map(({ schema }) => schema)).toEqual(expect.arrayContaining(['keylime_one', 'keylime_two', 'public']))
})

test('two that start at once migrate one after the other; a newer database is left alone', async () => {
  const changes: object[] = []
  await Promise.all(
    [1, 2].map(async () =>
      opened.push(await openDatabase<never>(placeOf('keylime'), 'once', TABLE, (change) => void changes.push(change))),
    ),
  )
  expect(changes).toEqual(
    expect.arrayContaining([
      { from: 0, to: 1 },
      { from: 1, to: 1 },
    ]),
  )
  await expect(open(placeOf('keylime'), 'once', [])).rejects.toMatchObject({
    code: 'database_failed',
    hint: expect.stringContaining('newer keylime'),
  })
})

test('no more connections are made than the pool may have', async () => {
  const db = await open(placeOf('keylime'), 'pool')
  const counts = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const { rows } = await sql<{
        n: number
      }>`select count(*) as n, pg_sleep(0.02) from pg_stat_activity where query like '%keylime_pool%' or state = 'active'`.execute(db)
      return rows[0]!.n
    }),
  )
  expect(Math.max(...counts)).toBeLessThanOrEqual(4)
})

test('what is stored comes back as it was: bytes, large numbers, order by bytes; a zero character, which cannot be, is replaced', async () => {
  const db = await open(placeOf('keylime'), 'values')
  const bytes = Buffer.from([0, 1, 255])
  for (const name of ['b', 'B', 'ä', 'a\0']) await sql`insert into notes values(${name}, ${bytes}, ${1_800_000_000_123})`.execute(db)
  const { rows } = await sql<{ name: string; bytes: Buffer; at: number }>`select * from notes order by name`.execute(db)
  expect(rows.map(({ name }) => name)).toEqual(['B', 'a\ufffd', 'b', 'ä'])
  expect(rows[0]).toMatchObject({ bytes, at: 1_800_000_000_123 })
})

describe('a change', () => {
  const count = async (db: Kysely<never>) => (await sql<{ n: number }>`select count(*) as n from notes`.execute(db)).rows[0]!.n
  const put = (name: string) => async (db: Kysely<never>) => void (await sql`insert into notes(name) values(${name})`.execute(db))

  test('is alone, whichever process makes it: what it has looked up holds until it is stored', async () => {
    const [a, b] = [await open(placeOf('keylime'), 'alone'), await open(placeOf('keylime'), 'alone')]
    const putFirst = (db: Kysely<never>, name: string) => changing(db, async (t) => ((await count(t)) === 0 ? put(name)(t) : undefined))
    await Promise.all([...Array(10).keys()].flatMap((i) => [putFirst(a, `a${i}`), putFirst(b, `b${i}`)]))
    expect(await count(a)).toBe(1)
  })

  test.each([
    ['whose commit did not arrive is none, and is told', 'before', 0],
    ['whose commit arrived, and the answer did not, is one', 'after', 1],
  ] as const)('%s', async (_what, when, stored) => {
    const proxy = await postgresProxy(server.port)
    const place = placeOf('keylime')
    const db = await open({ ...place, server: { ...place.server, port: proxy.port } }, `doubt_${when}`)
    proxy.cutAtCommit(when)
    const change = changing(db, put('it')).then(
      () => 'done',
      (error) => error.code,
    )
    expect(await change).toBe(when === 'after' ? 'done' : 'unavailable')
    expect(await count(db)).toBe(stored)
    await changing(db, put('another'))
    await proxy.close()
  })

  test('that fails by itself leaves nothing, and says what it did before', async () => {
    const db = await open(placeOf('keylime'), 'fails')
    const fail = async (t: Kysely<never>) => {
      await put('it')(t)
      throw new Error('no')
    }
    await expect(changing(db, fail)).rejects.toThrow('no')
    await expect(changing(db, (t) => put('twice')(t).then(() => put('twice')(t)))).rejects.toThrow('duplicate key')
    expect(await count(db)).toBe(0)
  })
})
