import { setTimeout as sleep } from 'node:timers/promises'
import { migrateRegistrar } from '../../../src/io/db/migrate-registrar.ts'
import { databasePlace, markPlace } from '../../../src/io/db/open-database.ts'
import { openRegistrarDatabase } from '../../../src/io/db/registrar-database.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { DATABASES, type DatabaseName } from '../../databases.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'
import { registerMachine, softwareEk } from '../../software-ek.ts'

/** Nothing is moved while a registrar runs, and what was moved is served where it is now. */
const home = temporaryKeylimeDir({ KEYLIME_REGISTRAR_TPM_IDENTITY: 'default' })
const file = (name: string) => `sqlite:///${home.dir}/${name}.sqlite`
let server: TestPostgres

beforeAll(async () => {
  server = await startPostgres()
  giveNotifierKey(home.dir)
  await (await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))).stop() // makes cv_ca
})
afterAll(async () => {
  await server.remove()
  home.remove()
})

function at(url: string) {
  const fallback = `${home.dir}/reg_data.sqlite`
  const place = databasePlace({ database_url: url, database_password_file: '', database_pool_sz_ovfl: '5,10' }, fallback)
  return { place, marked: markPlace(place, fallback) }
}
const move = (from: string, to: string, dryRun = false) => migrateRegistrar(at(from), at(to), { dryRun, now: Date.now() })
const busy = { code: 'conflict', message: expect.stringContaining('another registrar is running on') }

/** @returns with what it logged as errors. */
async function start(url: string, errors: string[] = []): Promise<RunningRegistrar> {
  const logger = { ...testLogger('registrar'), error: (text: string) => void errors.push(text) }
  return startRegistrar(loadRegistrarSettings({ ...home.env, KEYLIME_REGISTRAR_DATABASE_URL: url }), logger as never)
}

async function revoke({ tlsPort }: RunningRegistrar, id: string): Promise<void> {
  const admin = adminClient(home.dir, tlsPort)
  expect((await admin.request('PUT', `/v2.6/agents/${id}/revoke`)).status).toBe(200)
  await admin.close()
}

const urls: Record<DatabaseName, () => string> = { SQLite: () => file('one'), PostgreSQL: () => server.url() }

test.each(DATABASES)(
  'a registrar on %s that runs is not moved; stopped, its revocations go along, and it does not go on where it was',
  async (kind) => {
    const [from, to] = [urls[kind](), file(`from-${kind}`)]
    const ek = softwareEk()
    const machine = { ak: softwareAk('ecc'), port: 9002, certificate: 'disabled' } as never
    const running = await start(from)
    expect(await registerMachine(running.port, 'x', { machine, ek })).toMatchObject({ status: 200 })
    for (const dryRun of [true, false]) await expect(move(from, to, dryRun)).rejects.toMatchObject(busy)
    await revoke(running, 'x')
    await running.stop()
    await expect(start(to).then(async (target) => move(from, to).finally(target.stop))).rejects.toMatchObject(busy)

    await move(from, to)
    const moved = await start(to)
    expect((await registerMachine(moved.port, 'y', { machine, ek })).status).toBe(403)
    await moved.stop()
    const told: string[] = []
    if (kind === 'SQLite') await (await start(from, told)).stop()
    else await expect(start(from, told)).rejects.toMatchObject({ message: expect.stringContaining(`moved to ${home.dir}`) })
    expect(told.join()).toContain(kind === 'SQLite' ? 'older than the one' : '')
    if (kind === 'PostgreSQL') await move(to, from) // back: one that is to be filled may begin
  },
)

test('of a file one registrar runs, of a server several, and one that comes to others is not told that it may be an older one', async () => {
  const one = await start(file('alone'))
  await expect(start(file('alone'))).rejects.toMatchObject(busy)
  await one.stop()
  await server.query('create database shared')
  const url = server.url().replace(/keylime$/, 'shared')
  const [first, errors] = [await start(url), [] as string[]]
  const machine = { ak: softwareAk('ecc'), port: 9002, certificate: 'disabled' } as never
  await registerMachine(first.port, 'x', { machine, ek: softwareEk() })
  const marked = `${home.dir}/of-another-host`
  const second = await openRegistrarDatabase(at(url).place, marked)
  expect(second.mark.age).toBe('current')
  await second.close()
  await first.stop()
  const alone = await openRegistrarDatabase(at(url).place, `${marked}-again`)
  expect([alone.mark.age, errors]).toEqual(['unknown', []])
  await alone.close()
})

test('a registrar whose connection was cut says again that it runs', async () => {
  await server.query('create database cut')
  const place = at(server.url().replace(/keylime$/, 'cut')).place
  const opened = await openRegistrarDatabase(place, `${home.dir}/cut`)
  const held = async () =>
    (
      await server.query(
        "select 1 from pg_locks l join pg_database d on d.oid = l.database where datname = 'cut' and locktype = 'advisory'",
      )
    ).length
  expect(await held()).toBe(1)
  await server.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'cut'")
  await until('the cut', async () => (await held()) === 0)
  await sleep(100)
  await opened.ensure()
  expect(await held()).toBe(1)
  await opened.close()
  expect(await held()).toBe(0)
})
