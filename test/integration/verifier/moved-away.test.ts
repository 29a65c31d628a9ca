import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { migrateVerifier } from '../../../src/io/db/migrate-verifier.ts'
import type { DatabasePlace } from '../../../src/io/db/open-database.ts'
import { openVerifierDatabase } from '../../../src/io/db/verifier-database.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'
import { SharedBed, type Side } from '../../shared-bed.ts'

/** What was moved is used where it is now, and nowhere else. */
const V = Buffer.alloc(32, 'v').toString('base64')
const bed = new SharedBed()
const homes: ReturnType<typeof temporaryKeylimeDir>[] = []

beforeAll(() => bed.start(1))
afterAll(async () => {
  await bed.stop()
  for (const home of homes) home.remove()
})

const side = (): Side => bed.sides[0]!
const markOf = (home: { dir: string }) => path.join(home.dir, 'cv_data.postgresql')
const source = (home: { dir: string } = side().home) => ({ place: bed.server.place(), marked: markOf(home) })
const at = (file: string) => ({ place: path.join(side().home.dir, file), marked: path.join(side().home.dir, file) })
const database = async (name: string): Promise<DatabasePlace> => {
  await bed.server.query(`create database ${name}`)
  const place = bed.server.place()
  return { ...place, server: { ...place.server, database: name } }
}
const start = (home: { env: NodeJS.ProcessEnv }, url: string) =>
  startVerifier(loadVerifierSettings({ ...home.env, KEYLIME_VERIFIER_DATABASE_URL: url }), testLogger('verifier'))

/** How a host finds a database. @param marked its mark. */
async function seen(place: DatabasePlace, marked: string) {
  const opened = await openVerifierDatabase({ place, marked, name: 'seen' })
  await opened.shared?.leases.end()
  await opened.database.destroy() // and leaves its mark as it is
  return opened
}

async function ageOf(file: ReturnType<typeof at>): Promise<string> {
  const { mark, close } = await openVerifierDatabase({ ...file, name: 'x' })
  await close()
  return mark.age
}

/** A machine that has not got its V, and the verifier at its side, stopped. */
async function holding(id: string) {
  const machine = await bed.machine(id)
  machine.answer.set('/quotes/integrity', () => 'drop')
  expect(await bed.add(id, side(), { v: V })).toBe(200)
  await side().verifier.stop()
  machine.answer.clear()
  expect(machine.received).toEqual([])
  return machine
}

/** Each test begins with an empty database. */
beforeEach(async () => {
  await side().admin.close()
  await side().verifier.stop()
  for (const name of await schemas()) await bed.server.query(`drop schema ${name} cascade`)
  const verifier = await start(side().home, bed.server.url())
  Object.assign(side(), { verifier, admin: adminClient(side().home.dir, verifier.port) })
})

const schemas = async () =>
  (await bed.server.query<{ nspname: string }>("select nspname from pg_namespace where nspname like 'keylime_verifier%'")).map(
    ({ nspname }) => nspname,
  )

test('a verifier of another host, which still has the old URL and its mark, does not start: V leaves from the new database, once', async () => {
  const held = await holding('held')
  const other = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1' })
  homes.push(other)
  fs.cpSync(side().home.dir, other.dir, { recursive: true })
  const place = await database('moved_a')
  await migrateVerifier(source(), { place, marked: markOf(side().home) }, { now: Date.now() })

  for (const home of [side().home, other]) expect((await seen(place, markOf(home))).mark.age).toBe('current')
  await expect(start(other, bed.server.url())).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('moved') })
  expect(held.received).toEqual([])
  const fresh = await start(other, bed.server.url().replace(/keylime$/, 'moved_a')) // its mark is as good for the new one
  await until('V', () => held.received.length === 1)
  await sleep(500)
  await fresh.stop()
  expect(held.received).toHaveLength(1)

  // Renamed back, it counts as another one for whoever starts on it.
  const [moved] = await schemas()
  expect(moved).toMatch(/^keylime_verifier_moved_\d{8}t\d{6}z$/)
  await bed.server.query(`alter schema ${moved} rename to keylime_verifier`)
  held.newTransportKey() // nothing but the record of a release forbids this one
  for (const home of [other, side().home]) {
    const back = await start(home, bed.server.url())
    await sleep(500)
    await back.stop()
  }
  expect(held.received).toHaveLength(1)
})

const waits = async (name: string) =>
  (await bed.server.query(`select 1 from pg_stat_activity where datname = '${name}' and wait_event_type = 'Lock'`)).length > 0

test('a verifier that is started on the source while it is copied does not come to life', async () => {
  const held = await holding('copied')
  const place = await database('moved_b')
  await (await openVerifierDatabase({ place, marked: '/nowhere/x', name: 'x' })).close()
  const client = new pg.Client({ connectionString: bed.server.url().replace(/keylime$/, 'moved_b') })
  await client.connect()
  await client.query('begin; lock table keylime_verifier.agents in share mode')
  const migrating = migrateVerifier(source(), { place, marked: markOf(side().home) }, { now: Date.now() })
  await until('the copy', () => waits('moved_b'))
  const started = start(side().home, bed.server.url()).then(
    async (verifier) => {
      await sleep(500)
      await verifier.stop()
      return 'started'
    },
    () => 'refused',
  )
  await sleep(3500) // longer than a server waits for a transaction that does nothing
  await client.query('commit')
  await client.end()
  await migrating
  expect([await started, held.received]).toEqual(['refused', []])
})

test('a verifier that was stopped for longer than its lease finds nothing to release V from when it wakes', async () => {
  await holding('paused')
  const paused = await openVerifierDatabase({ ...source(), name: 'paused' })
  const { leases } = paused.shared!
  expect(await leases.claim(10)).toContain('paused')
  expect(await leases.isOurs('paused')).toBe(true)
  await expect(migrateVerifier(source(), at('c.sqlite'), { now: Date.now() })).rejects.toMatchObject({ code: 'conflict' })
  await bed.server.query("update keylime_verifier.verifiers set seen_at = now() - interval '7 seconds'")
  await migrateVerifier(source(), at('c.sqlite'), { now: Date.now() })
  expect(await leases.isOurs('paused').catch(() => false)).toBe(false)
  await expect(leases.beat()).rejects.toThrow()
  await paused.close()
})

test('a move that ends between the two commits leaves one that counts: the source', async () => {
  await holding('cut')
  const place = await database('moved_d')
  const marked = markOf(side().home)
  await (await openVerifierDatabase({ place, marked: '/nowhere/x', name: 'x' })).close()
  const client = new pg.Client({ connectionString: bed.server.url().replace(/keylime$/, 'moved_d') })
  await client.connect()
  await client.query('begin; lock table keylime_verifier.agents in share mode')
  const migrating = migrateVerifier(source(), { place, marked }, { now: Date.now() }).catch((error) => error)
  await until('the copy', () => waits('moved_d'))
  await bed.server.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'keylime' and application_name = 'keylime'",
  )
  await client.query('commit')
  await client.end()
  expect(await migrating).toMatchObject({ code: 'unavailable' })
  expect((await seen(place, marked)).mark).toMatchObject({ age: 'other', inside: { changes: expect.any(Number) } })
  expect((await seen(bed.server.place(), marked)).mark.age).toBe('current')
  expect(await schemas()).toEqual(['keylime_verifier'])
})

test('a file that was left is an older one, and another one for a mark that it had', async () => {
  const [first, second] = [at('left.sqlite'), at('new.sqlite')]
  const opened = await openVerifierDatabase({ ...first, name: 'x' })
  await sql`insert into policy_bodies values('d', 'x')`.execute(opened.database)
  await sql`insert into policies values('mb', 'p', 'd')`.execute(opened.database)
  await opened.close()
  const mark = fs.readFileSync(`${first.marked}.mark`)
  await migrateVerifier(first, second, { now: Date.now() })
  expect(await ageOf(second)).toBe('current')
  expect([await ageOf(first), await ageOf(first)]).toEqual(['older', 'older']) // until a verifier acts upon it
  fs.writeFileSync(`${first.marked}.mark`, mark)
  expect([await ageOf(first), await ageOf(first)]).toEqual(['other', 'other'])
  fs.rmSync(`${first.marked}.mark`)
  expect([await ageOf(first), await ageOf(first)]).toEqual(['unknown', 'unknown'])
  await expect(migrateVerifier(first, at('third.sqlite'), { now: Date.now() })).rejects.toMatchObject({ code: 'conflict' })
})
