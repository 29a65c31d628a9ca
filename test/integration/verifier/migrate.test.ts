import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { openDatabase } from '../../../src/io/db/open-database.ts'
import { VERIFIER_TABLES } from '../../../src/io/db/verifier-copy.ts'
import { VERIFIER_MIGRATIONS } from '../../../src/io/db/verifier-schema.ts'
import { BOOT_AGGREGATE, pcr10After, runtimePolicy } from '../../ima.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../../..')
const V = Buffer.alloc(32, 'v').toString('base64')
const bed = new VerifierBed()
let server: TestPostgres

beforeAll(async () => {
  server = await startPostgres()
  await bed.start()
})
afterAll(async () => {
  await bed.stop()
  await server.remove()
})

async function migrate(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const node = [path.join(ROOT, 'node_modules/.bin/node'), '--disable-warning=ExperimentalWarning', path.join(ROOT, 'src/main.ts')]
  const env = { ...bed.home.env, PATH: process.env['PATH'] }
  return run(node[0]!, [...node.slice(1), 'verifier', 'migrate', ...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    (error) => ({ code: error.code, out: error.stdout, err: error.stderr }),
  )
}

const use = (url: string) => void Object.assign(bed.home.env, { KEYLIME_VERIFIER_DATABASE_URL: url })
const stop = async () => {
  await bed.admin.close()
  await bed.verifier.stop()
}

test('every table that a verifier stores something in is copied', async () => {
  const db = await openDatabase(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const { rows } = await sql<{ name: string }>`select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`.execute(db)
  const ownOfOne = ['database_mark', 'keylime_schema']
  expect(rows.map(({ name }) => name).toSorted()).toEqual([...VERIFIER_TABLES.map(({ name }) => name), ...ownOfOne].toSorted())
  await db.destroy()
})

test('a verifier moves to PostgreSQL and back: machines are attested on, nothing is lost, no V leaves twice, and the one before counts as older', async () => {
  const [held, given, liar] = [await bed.machine(), await bed.machine(), await bed.machine()]
  held.answer.set('/keys/vkey', () => 'drop')
  given.pcrs.set(10, pcr10After([BOOT_AGGREGATE]))
  given.extra = { ima_measurement_list: `${BOOT_AGGREGATE}\n`, ima_measurement_list_entry: 0 }
  const policy = { runtime_policy: Buffer.from(runtimePolicy()).toString('base64') }
  expect((await bed.admin.request('POST', '/v2.6/allowlists/shared', { body: policy })).status).toBe(201)
  await bed.add('given', given, { v: V, runtime_policy_name: 'shared' })
  await bed.add('held', held, { v: V })
  await bed.add('liar', liar)
  await until('V', async () => (await bed.status('given')).v_released && (await bed.status('liar')).attestation_count > 1)
  liar.pcrs.set(16, Buffer.alloc(32, 7))
  await bed.inState('liar', 9)
  const busy = await migrate('--from', 'sqlite', '--to', server.url())
  expect([busy.code, busy.err]).toEqual([
    1,
    expect.stringMatching(/^error: another verifier is running on .*\nhint: stop it first \(.*\)\n$/),
  ])
  const before = await bed.status('given')
  const history = async () => ((await bed.admin.request('GET', '/v2.6/history')).results as { entries: object[] }).entries
  const past = await history()
  await stop()

  const looked = await migrate('--from', 'sqlite', '--to', server.url(), '--dry-run')
  expect([looked.code, looked.out]).toEqual([0, expect.stringContaining('3 machines would be copied')])
  const moved = await migrate('--from', 'sqlite', '--to', server.url(), '--json')
  expect(moved.err).toBe('')
  expect(JSON.parse(moved.out)).toMatchObject({ copied: true, tables: { agents: 3, policies: 1, revocations: 1 } })
  expect((await migrate('--from', 'sqlite', '--to', server.url())).err).toMatch(
    /it was moved before, or put back\nhint: if it was moved, set database_url in verifier.conf to the copy/,
  )

  use(server.url())
  await bed.start()
  await until('attestations', async () => (await bed.status('given')).attestation_count > before.attestation_count + 2)
  expect((await history()).slice(0, past.length)).toEqual(past)
  expect([(await bed.status('liar')).operational_state, given.received.length]).toEqual([9, 1])
  held.answer.clear()
  await until('V', async () => (await bed.status('held')).v_released)
  const received = held.received.length // its answers were lost before
  expect((await migrate('--from', server.url(), '--to', 'sqlite:////tmp/never.sqlite')).err).toContain('verifier default runs on')
  await stop()

  const back = path.join(bed.home.dir, 'back.sqlite')
  expect((await migrate('--from', server.url(), '--to', `sqlite:///${back}`)).code).toBe(0)
  use(`sqlite:///${back}`)
  await bed.start()
  const count = (await bed.status('held')).attestation_count
  await until('attestations', async () => (await bed.status('held')).attestation_count > count + 2)
  expect([given.received.length, (await bed.status('held')).v_released]).toEqual([1, true])
  await stop()

  use('sqlite')
  await bed.start()
  expect(await bed.status('held')).toMatchObject({ v_released: false, v_withheld: true })
  expect(held.received).toHaveLength(received)
})

test.each([
  ['a source that is not there', ['--from', 'sqlite:////nowhere/x.sqlite', '--to', 'sqlite'], 6, 'there is no database /nowhere/x.sqlite'],
  ['one database twice', ['--from', 'sqlite', '--to', 'sqlite'], 2, '--from and --to name the same database\nhint: --from names'],
  ['a form that is none', ['--from', 'sqlite', '--to', 'mysql://u:secret@h/d'], 2, 'mysql://u:[secret]@h/d'],
  ['a server that is not there', ['--from', 'postgresql://u@127.0.0.1:1/d', '--to', 'sqlite', '--dry-run'], 4, 'cannot be used now'],
])('%s is refused', async (_what, args, code, text) => {
  const { code: ended, err } = await migrate(...args)
  expect([ended, err]).toEqual([code, expect.stringContaining(text)])
  expect(fs.existsSync('/nowhere')).toBe(false)
})
