import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import BetterSqlite from 'better-sqlite3'
import { sql } from 'kysely'
import pg from 'pg'
import { REGISTRAR_TABLES } from '../../../src/io/db/migrate-registrar.ts'
import { openDatabase } from '../../../src/io/db/open-database.ts'
import { REGISTRAR_MIGRATIONS } from '../../../src/io/db/registrar-schema.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { DATABASES, type DatabaseName } from '../../databases.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { PROGRAM } from '../../program.ts'
import { adminClient, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'
import { registerMachine, softwareEk } from '../../software-ek.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../../..')
const REAL = path.join(ROOT, 'test/vectors/upstream-databases/reg_data-7.14.3.sqlite')
const ID = (number: number) => `d432fbb3-d2f1-4a97-9ef7-75bd81c0000${number}`
const nativeBinding = loadAddon<object>('better_sqlite3.node') as never
const home = temporaryKeylimeDir({ KEYLIME_REGISTRAR_TPM_IDENTITY: 'default' })
const at = (name: string) => path.join(home.dir, name)
let server: TestPostgres

beforeAll(async () => {
  server = await startPostgres()
  await (await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))).stop() // makes cv_ca
})
afterAll(async () => {
  await server.remove()
  home.remove()
})

async function migrate(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const node = ['--disable-warning=ExperimentalWarning', PROGRAM, 'registrar', 'migrate']
  const env = { ...home.env, PATH: process.env['PATH'] }
  return run(path.join(ROOT, 'node_modules/.bin/node'), [...node, ...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    (error) => ({ code: error.code, out: error.stdout, err: error.stderr }),
  )
}

async function serving<T>(url: string, work: (registrar: RunningRegistrar, admin: ApiClient) => Promise<T>): Promise<T> {
  const registrar = await startRegistrar(
    loadRegistrarSettings({ ...home.env, KEYLIME_REGISTRAR_DATABASE_URL: url }),
    testLogger('registrar'),
  )
  const admin = adminClient(home.dir, registrar.tlsPort)
  try {
    return await work(registrar, admin)
  } finally {
    await admin.close()
    await registrar.stop()
  }
}

test('every table that a registrar stores something in for good is copied', async () => {
  const db = await openDatabase(':memory:', 'registrar', REGISTRAR_MIGRATIONS)
  const { rows } = await sql<{ name: string }>`select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`.execute(db)
  const others = ['database_mark', 'keylime_schema', 'pending_registrations']
  expect(rows.map(({ name }) => name).toSorted()).toEqual([...REGISTRAR_TABLES.map(({ name }) => name), ...others].toSorted())
  await db.destroy()
})

test('a registrar moves to PostgreSQL and back: registrations and revocations count there, and the one before is an older one', async () => {
  const ak = softwareAk('ecc')
  const machine = { ak, port: 9002, certificate: 'disabled' } as never
  const [ek, barred] = [softwareEk(), softwareEk()]
  await serving('sqlite', async ({ port }, admin) => {
    expect(await registerMachine(port, 'one', { machine, ek })).toMatchObject({ status: 200 })
    expect(
      await registerMachine(port, 'two', { machine: { ak: softwareAk('ecc'), port: 1, certificate: 'disabled' } as never, ek: barred }),
    ).toMatchObject({ status: 200 })
    expect((await admin.request('PUT', '/v2.6/agents/two/revoke')).status).toBe(200)
  })
  expect(await migrate('--from', 'sqlite', '--to', server.url(), '--dry-run')).toMatchObject({
    code: 0,
    out: expect.stringContaining('1 registrations would be copied'),
  })
  const moved = await migrate('--from', 'sqlite', '--to', server.url(), '--json')
  expect([moved.code, moved.err]).toEqual([0, ''])
  expect(JSON.parse(moved.out)).toMatchObject({ copied: true, tables: { registered_agents: 1, revoked_agents: 1 } })
  expect((await migrate('--from', 'sqlite', '--to', server.url())).err).toMatch(/it was moved before, or put back/)
  await serving(server.url(), async ({ port }, admin) => {
    expect((await admin.request('GET', '/v2.6/agents/one')).results).toMatchObject({ aik_tpm: ak.public.toString('base64'), regcount: 1 })
    expect((await registerMachine(port, 'three', { machine, ek: barred })).status).toBe(403)
  })
  const back = `sqlite:///${at('back.sqlite')}`
  expect(await migrate('--from', server.url(), '--to', back)).toMatchObject({ code: 0, err: '' })
  await serving(back, async (_registrar, admin) => expect((await admin.request('GET', '/v2.6/agents/one')).status).toBe(200))
  expect(await migrate('--from', 'sqlite:////nowhere/x.sqlite', '--to', 'sqlite')).toMatchObject({ code: 6 })
})

/** Rows that upstream could have written, or somebody by hand: what cannot be used, by what is wrong with it. */
const BROKEN: Record<string, Record<string, unknown>> = {
  'no id!': {},
  'not-active': { active: 0 },
  'broken-ek': { ek_tpm: 'AAAA' },
  'broken-ak': { aik_tpm: 'AAAA' },
  'broken-certificate': { ekcert: 'AAAA' },
  'other-certificate': { ek_tpm: softwareEk().public.toString('base64') },
  'broken-tls': { mtls_cert: 'no certificate' },
  'odd-port': { port: 'x' },
  'weak-ak': { aik_tpm: softwareEk().public.toString('base64') },
  'same-tpm': {},
}

/** The real database, with broken rows, on this kind of server. */
async function source(kind: DatabaseName): Promise<string> {
  const file = at(`upstream-${kind}.sqlite`)
  fs.copyFileSync(REAL, file)
  const db = new BetterSqlite(file, { nativeBinding })
  const [real] = db.prepare('select * from registrarmain order by agent_id').all() as Record<string, unknown>[]
  const columns = Object.keys(real!)
  const insert = db.prepare(`insert into registrarmain(${columns.join(', ')}) values(${columns.map(() => '?').join(', ')})`)
  for (const [agent_id, changes] of Object.entries(BROKEN)) insert.run(...Object.values({ ...real, ...changes, agent_id }))
  if (kind === 'SQLite') {
    db.close()
    return `sqlite:///${file}`
  }
  // As upstream makes it on PostgreSQL: `active` is a number there, too.
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  await client.query(`create table registrarmain(${columns.map((name) => `${name} ${NUMBERS.has(name) ? 'integer' : 'text'}`).join(', ')})`)
  for (const row of db.prepare('select * from registrarmain').all() as Record<string, unknown>[])
    await client.query(
      `insert into registrarmain values(${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
      columns.map((name) => (NUMBERS.has(name) && Number.isNaN(Number(row[name])) ? null : row[name])),
    )
  await client.end()
  db.close()
  return server.url()
}

const NUMBERS = new Set(['active', 'port', 'regcount', 'virtual'])

test.each(DATABASES)('registrations of a real upstream registrar on %s are taken over; broken rows are told, never fatal', async (kind) => {
  const from = await source(kind)
  const to = `sqlite:///${at(`from-${kind}.sqlite`)}`
  const dry = await migrate('--from', from, '--to', to, '--dry-run', '--json')
  const taken = await migrate('--from', from, '--to', to, '--json')
  expect([taken.code, taken.err]).toEqual([1, ''])
  const report = JSON.parse(taken.out)
  expect(report).toEqual({ ...JSON.parse(dry.out), copied: true })
  expect(report.registrations).toBe(4)
  const left = Object.fromEntries(report.left.map(({ what, why }: { what: string; why: string }) => [what.replace('agent ', ''), why]))
  expect(Object.keys(left).toSorted()).toEqual(Object.keys(BROKEN).toSorted())
  expect(left['same-tpm']).toContain(`its TPM is that of ${ID(1)}`)
  expect(left['not-active']).toContain('has not proved itself')
  expect((await migrate('--from', from, '--to', to)).err).toContain('is not empty: table registered_agents has 4 rows')
  await serving(to, async (_registrar, admin) => {
    const { results } = await admin.request('GET', `/v2.6/agents/${ID(1)}`)
    const real = new BetterSqlite(REAL, { nativeBinding, readonly: true })
    const row = real.prepare('select * from registrarmain where agent_id = ?').get(ID(1)) as Record<string, string>
    real.close()
    expect(results).toMatchObject({
      aik_tpm: row['aik_tpm'],
      ek_tpm: row['ek_tpm'],
      ekcert: row['ekcert'],
      ip: '127.0.0.1',
      port: Number(row['port']),
      regcount: 1,
    })
    expect((results as { mtls_cert: string }).mtls_cert).toMatch(/^-----BEGIN CERTIFICATE-----/)
    expect(((await admin.request('GET', '/v2.6/agents/')).results as { uuids: string[] }).uuids).toEqual([1, 2, 3, 4].map(ID))
  })
})
