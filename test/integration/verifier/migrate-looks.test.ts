import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { migrateRegistrar } from '../../../src/io/db/migrate-registrar.ts'
import { lookAtMigration, migrateVerifier } from '../../../src/io/db/migrate-verifier.ts'
import { type DatabasePlace, openDatabase } from '../../../src/io/db/open-database.ts'
import { asOfNow, openToRead } from '../../../src/io/db/open-to-read.ts'
import type { PostgresPlace } from '../../../src/io/db/postgres-pool.ts'
import { openUpstreamVerifier } from '../../../src/io/db/upstream-source.ts'
import { makeShared } from '../../../src/io/db/verifier-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../src/io/db/verifier-schema.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'

/** What a move looks at before it begins, and that a look changes nothing. */
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-looks-'))
let server: TestPostgres

beforeAll(async () => {
  server = await startPostgres()
})
afterAll(async () => {
  await server.remove()
  fs.rmSync(directory, { recursive: true })
})

const marked = (place: DatabasePlace) => ({ place, marked: path.join(directory, 'cv_data.postgresql') })
const file = (name: string) => ({ place: path.join(directory, name), marked: path.join(directory, name) })
const now = { now: Date.now() }

async function database(name: string): Promise<PostgresPlace> {
  await server.query(`create database ${name}`)
  const place = server.place()
  return { ...place, server: { ...place.server, database: name } }
}

async function asked<Row>(place: DatabasePlace, text: string): Promise<Row[]> {
  const db = await openToRead(place, 'keylime_verifier')
  try {
    return (await sql.raw<Row>(text).execute(db)).rows
  } finally {
    await db.destroy()
  }
}
const schemas = async (place: DatabasePlace) =>
  (await asked<{ name: string }>(place, "select nspname as name from pg_namespace where nspname like 'keylime%'")).map(({ name }) => name)

/** As the release before has it. */
async function older(place: DatabasePlace): Promise<void> {
  const db = await openDatabase<unknown>(place, 'verifier', VERIFIER_MIGRATIONS.slice(0, -1))
  if (typeof place !== 'string') await makeShared(db)
  await db.destroy()
}
const versionOf = async (place: DatabasePlace) =>
  (await asked<{ version: number }>(place, 'select version from keylime_schema'))[0]!.version

test('a database that is nobody’s is told, and stays as it is', async () => {
  const place = await database('wrong')
  for (const work of [lookAtMigration, (from: never, to: never) => migrateVerifier(from, to, now)])
    await expect(work(marked(place) as never, file('wrong.sqlite') as never)).rejects.toMatchObject({ code: 'not_found' })
  for (const dryRun of [true, false])
    await expect(migrateRegistrar(marked(place), file('wrong.sqlite'), { dryRun, ...now })).rejects.toMatchObject({ code: 'not_found' })
  expect(await schemas(place)).toEqual([])
  fs.writeFileSync(file('text').place, 'no database at all\n'.repeat(100))
  await expect(lookAtMigration(file('text'), marked(place))).rejects.toMatchObject({ code: 'database_failed' })
  expect(fs.readdirSync(directory)).toEqual(['text'])
})

test('the schema of a verifier that runs is not upgraded, by a look or a move; one that nobody uses is, by the move', async () => {
  const place = await database('upgraded')
  await older(place)
  const db = await openDatabase<unknown>(place, 'verifier', VERIFIER_MIGRATIONS.slice(0, -1))
  await sql`insert into verifiers values('run', 'old one', clock_timestamp())`.execute(db)
  for (const work of [lookAtMigration, (from: never, to: never) => migrateVerifier(from, to, now)])
    await expect(work(marked(place) as never, file('up.sqlite') as never)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('old one runs on'),
    })
  expect(await versionOf(place)).toBe(VERIFIER_MIGRATIONS.length - 1)
  await sql`delete from verifiers`.execute(db)
  await db.destroy()
  expect(await lookAtMigration(marked(place), file('up.sqlite'))).toContainEqual({ table: 'agents', rows: 0 })
  expect([await versionOf(place), await asked(place, 'select 1 from verifiers')]).toEqual([VERIFIER_MIGRATIONS.length - 1, []])
  expect(fs.existsSync(file('up.sqlite').place)).toBe(false)
  await migrateVerifier(marked(place), file('up.sqlite'), now)
  expect(await versionOf(file('up.sqlite').place)).toBe(VERIFIER_MIGRATIONS.length)
})

test.each(['file', 'server'] as const)('a look finds a target on a %s that is not empty, or of a newer program', async (kind) => {
  await older(file('source').place)
  const to = kind === 'file' ? file('target') : marked(await database('target'))
  const db = await openDatabase<unknown>(to.place, 'verifier', VERIFIER_MIGRATIONS)
  expect(await lookAtMigration(file('source'), to)).toContainEqual({ table: 'agents', rows: 0 })
  await sql`insert into mailbox_leftovers values('x')`.execute(db)
  const refused = { code: 'conflict', message: expect.stringContaining('table mailbox_leftovers has 1 rows') }
  await expect(lookAtMigration(file('source'), to)).rejects.toMatchObject(refused)
  await sql`update keylime_schema set version = version + 1`.execute(db)
  await expect(lookAtMigration(file('source'), to)).rejects.toMatchObject({ code: 'database_failed' })
  await db.destroy()
})

test('an upstream’s database that may not be read is upstream’s', async () => {
  const place = await database('upstreams')
  const upstreams = await openDatabase<unknown>(place, 'x', [])
  await sql`create table public.verifiermain(agent_id text)`.execute(upstreams)
  await sql`create role stranger login`.execute(upstreams)
  await upstreams.destroy()
  const source = await openUpstreamVerifier({ ...place, server: { ...place.server, user: 'stranger' } })
  await expect(source!.agents().next()).rejects.toMatchObject({
    code: 'database_failed',
    message: expect.stringContaining('refuses this user'),
  })
  await source!.close()
})

test('a look at one moment lasts while what it is copied to takes its time', async () => {
  const db = await openToRead(server.place(), 'keylime_verifier')
  const twice = asOfNow(db, async (snapshot) => {
    const { rows } = await sql<{ n: number }>`select 1 as n`.execute(snapshot)
    await sleep(4000)
    return rows.length + (await sql`select 1`.execute(snapshot)).rows.length
  })
  expect(await twice.finally(() => db.destroy())).toBe(2)
})
