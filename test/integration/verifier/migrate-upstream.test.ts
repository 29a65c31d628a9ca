import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import pg from 'pg'
import { migrateFromUpstream } from '../../../src/io/db/migrate-verifier.ts'
import { type DatabasePlace, databasePlace } from '../../../src/io/db/open-database.ts'
import { openUpstreamVerifier } from '../../../src/io/db/upstream-source.ts'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { BOOT_AGGREGATE, pcr10After, runtimePolicy } from '../../ima.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { softwareEk } from '../../software-ek.ts'
import { VerifierBed } from '../../verifier-bed.ts'

/** The tables of an upstream verifier 7.x (protocol 4.11), in the words of each database. */
const TABLES = [
  'create table allowlists(id integer primary key, name varchar(255) unique, checksum varchar(128), generator integer, tpm_policy text, ima_policy text)',
  'create table mbpolicies(id integer primary key, name varchar(255) unique, mb_policy text)',
  `create table verifiermain(agent_id varchar(80) primary key, v varchar(45), ip varchar(15), port integer, verifier_id varchar(80), verifier_ip varchar(15),
    verifier_port integer, operational_state integer, public_key varchar(500), tpm_policy text, meta_data text, ima_policy_id integer, mb_policy_id integer,
    ima_sign_verification_keys text, revocation_key varchar(2800), accept_tpm_hash_algs text, accept_tpm_encryption_algs text, accept_tpm_signing_algs text,
    hash_alg varchar(10), supported_version varchar(20), ak_tpm varchar(500), mtls_cert text, severity_level integer, last_event_id varchar(200),
    attestation_count integer, last_received_quote integer, last_successful_attestation integer, tpm_clockinfo text, accept_attestations integer)`,
]
const V = Buffer.alloc(32, 'v').toString('base64')
const bed = new VerifierBed()
let server: TestPostgres
const machines: Record<string, SimulatedAgent> = {}

const rules = { bootPolicy: 'accept-all', requireSigned: false } as const

type Row = Record<string, string | number | null>
const row = (id: string, machine: SimulatedAgent, changes: Row = {}): Row => ({
  ...{ agent_id: id, v: V, ip: '127.0.0.1', port: machine.port, verifier_id: 'default', verifier_ip: '127.0.0.1', verifier_port: 8881 },
  ...{ operational_state: 3, public_key: 'PEM', tpm_policy: '{"mask": "0x400"}', meta_data: '{}', ima_policy_id: null, mb_policy_id: null },
  ...{ ima_sign_verification_keys: '', revocation_key: '', accept_tpm_hash_algs: '["sha512", "sha384", "sha256"]' },
  ...{
    accept_tpm_encryption_algs: '["rsa", "ecc"]',
    accept_tpm_signing_algs: '["rsassa", "ecdsa"]',
    hash_alg: 'sha256',
    supported_version: '2.2',
  },
  ...{ ak_tpm: machine.ak.public.toString('base64'), mtls_cert: machine.certificate, severity_level: null, last_event_id: null },
  ...{
    attestation_count: 41,
    last_received_quote: 1_700_000_000,
    last_successful_attestation: 1_700_000_000,
    tpm_clockinfo: null,
    accept_attestations: 1,
  },
  ...changes,
})

beforeAll(async () => {
  server = await startPostgres()
  await bed.start()
  for (const id of ['good', 'own', 'new', 'failed', 'midway']) machines[id] = await bed.machine()
  for (const machine of [machines['good']!, machines['own']!]) {
    machine.pcrs.set(10, pcr10After([BOOT_AGGREGATE]))
    machine.extra = { ima_measurement_list: `${BOOT_AGGREGATE}\n`, ima_measurement_list_entry: 0 }
  }
  await bed.admin.close()
  await bed.verifier.stop()
})
afterAll(async () => {
  await bed.stop()
  await server.remove()
})

/** What upstream stores for a machine without a runtime policy. */
const NONE = JSON.stringify({
  ...{ meta: { version: 1, generator: 1 }, release: 0, digests: {}, excludes: [], keyrings: {} },
  ...{ ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null }, 'ima-buf': {}, 'verification-keys': '' },
})

function content(): { table: string; row: Row }[] {
  const policy = runtimePolicy()
  const agents = [
    row('good', machines['good']!, { ima_policy_id: 1, tpm_policy: '"{\\"mask\\": \\"0x400\\"}"' }), // as upstream writes it
    row('own', machines['own']!, { ima_policy_id: 2, mb_policy_id: 1 }),
    row('new', machines['new']!, { operational_state: 1, tpm_policy: '"{\\"mask\\": \\"0x0\\"}"', ima_policy_id: 3 }),
    row('failed', machines['failed']!, { operational_state: 9, last_event_id: 'ima.runtime_policy_hash', severity_level: 6 }),
    row('midway', machines['midway']!, { operational_state: 5, tpm_policy: '{}' }),
    row('broken-ak', machines['good']!, { ak_tpm: 'AAAA' }),
    row('broken-json', machines['good']!, { accept_tpm_hash_algs: 'sha256' }),
    row('broken-state', machines['good']!, { operational_state: 77 }),
    row('broken id', machines['good']!),
    row('broken-policy', machines['good']!, { tpm_policy: '"{\\"10\\": []}"' }),
    row('broken-cert', machines['good']!, { mtls_cert: 'no certificate' }),
    row('broken-chain', machines['good']!, { mtls_cert: machines['good']!.certificate.repeat(2) }),
    row('broken-port', machines['good']!, { port: 99_999 }),
    row('no-port', machines['good']!, { port: 0 }),
    row('broken-v', machines['good']!, { operational_state: 1, v: 'AAAA' }),
    row('broken-keys', machines['good']!, { ima_sign_verification_keys: '{"keyids": [1' }),
    row('broken-revocation', machines['good']!, { revocation_key: 'no key' }),
    row('weak-ak', machines['good']!, { ak_tpm: softwareEk().public.toString('base64') }),
    row('uses-broken', machines['good']!, { ima_policy_id: 4 }),
    row('own-broken', machines['good']!, { ima_policy_id: 5 }),
    row('uses-none', machines['good']!, { ima_policy_id: 99 }),
    row('boots-broken', machines['good']!, { mb_policy_id: 2 }),
  ]
  return [
    { table: 'allowlists', row: { id: 1, name: 'fleet', checksum: null, generator: 1, tpm_policy: null, ima_policy: policy } },
    { table: 'allowlists', row: { id: 2, name: 'own', checksum: null, generator: 1, tpm_policy: null, ima_policy: policy } },
    { table: 'allowlists', row: { id: 3, name: 'new', checksum: null, generator: 1, tpm_policy: null, ima_policy: NONE } },
    { table: 'allowlists', row: { id: 4, name: 'torn', checksum: null, generator: 1, tpm_policy: null, ima_policy: '{broken' } },
    {
      table: 'allowlists',
      row: { id: 5, name: 'own-broken', checksum: null, generator: 1, tpm_policy: null, ima_policy: '{"digests": 5}' },
    },
    { table: 'allowlists', row: { id: 6, name: null, checksum: null, generator: 1, tpm_policy: null, ima_policy: policy } },
    { table: 'mbpolicies', row: { id: 1, name: 'own', mb_policy: '{}' } },
    { table: 'mbpolicies', row: { id: 2, name: 'boot', mb_policy: '{"broken' } },
    ...agents.map((agent) => ({ table: 'verifiermain', row: agent })),
  ]
}

const statement = (table: string, given: Row, mark: (i: number) => string) =>
  `insert into ${table}(${Object.keys(given).join(', ')}) values(${Object.keys(given)
    .map((_, i) => mark(i + 1))
    .join(', ')})`

async function source(kind: 'SQLite' | 'PostgreSQL'): Promise<DatabasePlace> {
  if (kind === 'SQLite') {
    const file = path.join(bed.home.dir, 'upstream.sqlite')
    const db = new BetterSqlite(file, { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })
    for (const table of TABLES) db.exec(table)
    for (const { table, row: given } of content()) db.prepare(statement(table, given, () => '?')).run(...Object.values(given))
    db.close()
    return file
  }
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  for (const table of TABLES) await client.query(table)
  for (const { table, row: given } of content())
    await client.query(
      statement(table, given, (i) => `$${i}`),
      Object.values(given),
    )
  await client.end()
  return server.place()
}

const LEFT = [
  ...[
    'broken id',
    'broken-ak',
    'broken-cert',
    'broken-chain',
    'broken-json',
    'broken-keys',
    'broken-policy',
    'broken-port',
    'broken-revocation',
  ],
  ...['broken-state', 'broken-v', 'boots-broken', 'no-port', 'own-broken', 'uses-broken', 'uses-none', 'weak-ak'],
]
  .map((id) => `agent ${id}`)
  .concat(['measured boot policy boot', 'runtime policy own-broken', 'runtime policy torn'])
  .toSorted()

test.each(['SQLite', 'PostgreSQL'] as const)(
  'a fleet of an upstream verifier on %s is taken over as it stands, and attested on; broken rows are told',
  async (kind) => {
    const options = { database_password_file: '', database_pool_sz_ovfl: '5,10' }
    const file = path.join(bed.home.dir, `from-${kind}.sqlite`)
    const to = { place: databasePlace({ ...options, database_url: `sqlite:///${file}` }, '/unused'), marked: file }
    const place = await source(kind)
    const upstream = async () => (await openUpstreamVerifier(place))!
    const dry = await migrateFromUpstream(await upstream(), to, { dryRun: true, rules })
    const report = await migrateFromUpstream(await upstream(), to, { dryRun: false, rules })
    expect(report).toEqual(dry)
    expect(report).toMatchObject({ agents: 5, policies: 3, withheld: ['midway'] })
    expect(report.left.map(({ what }) => what).toSorted()).toEqual(LEFT)
    const why = Object.fromEntries(report.left.map((each) => [each.what, each.why]))
    for (const text of Object.values(why)) expect(text).not.toBe('')
    expect(why['agent uses-broken']).toContain('its runtime policy torn')
    expect(why['agent uses-none']).toContain('its runtime policy 99 is not there')
    expect(why['agent broken-port']).toMatch(/port/)
    await expect(upstream().then((again) => migrateFromUpstream(again, to, { dryRun: false, rules }))).rejects.toMatchObject({
      code: 'conflict',
    })

    bed.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = `sqlite:///${file}`
    await bed.start()
    for (const id of ['good', 'own']) {
      await until(`attestations of ${id}`, async () => (await bed.status(id)).attestation_count > 43)
      expect(await bed.status(id)).toMatchObject({ operational_state: 3, v_released: true, has_runtime_policy: 1 })
      expect(machines[id]!.received).toEqual([])
    }
    expect(await bed.status('new')).toMatchObject({ has_runtime_policy: 0 })
    await until('V of the new one', async () => (await bed.status('new')).v_released)
    expect(machines['new']!.received.map(String)).toEqual([Buffer.from(V, 'base64').toString()])
    machines['new']!.received.length = 0
    expect(await bed.status('midway')).toMatchObject({ operational_state: 3, v_withheld: true })
    expect(await bed.status('failed')).toMatchObject({ operational_state: 9, last_event_id: 'ima.runtime_policy_hash' })
    expect((await bed.admin.request('GET', '/v2.6/allowlists/')).results).toMatchObject({ 'runtimepolicy names': ['fleet'] })
    await bed.admin.close()
    await bed.verifier.stop()
  },
)

test('a database of the real upstream verifier 7.14.3: nothing is left out, and each machine is as it was there', async () => {
  const file = path.join(bed.home.dir, 'from-real.sqlite')
  const real = path.resolve(import.meta.dirname, '../../vectors/upstream-databases/cv_data-7.14.3.sqlite')
  const report = await migrateFromUpstream((await openUpstreamVerifier(real))!, { place: file, marked: file }, { dryRun: false, rules })
  expect(report).toEqual({ agents: 3, policies: 2, withheld: [], left: [] })
  bed.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = `sqlite:///${file}`
  await bed.start()
  const id = (number: number) => `d432fbb3-d2f1-4a97-9ef7-75bd81c0000${number}`
  const [own, named, bad] = [await bed.status(id(1)), await bed.status(id(2)), await bed.status(id(4))]
  for (const status of [own, named]) {
    expect(status).toMatchObject({ v_released: true, has_runtime_policy: 1, has_mb_refstate: 0, tpm_policy: '{"mask": "0x400"}' })
    expect([3, 4, 7]).toContain(status.operational_state) // its machine is gone
    expect(JSON.stringify(status.failures)).not.toContain('not_taken_up')
  }
  expect([own.attestation_count, named.attestation_count]).toEqual([35, 19])
  expect(bad).toMatchObject({ operational_state: 9, last_event_id: 'pcr_validation.invalid_pcr_15', has_runtime_policy: 0 })
  expect((await bed.admin.request('GET', '/v2.6/allowlists/')).results).toMatchObject({ 'runtimepolicy names': ['fleet'] })
  await bed.admin.close()
  await bed.verifier.stop()
})

test('a database that is none of upstream’s is none', async () => {
  expect(await openUpstreamVerifier(path.join(bed.home.dir, 'cv_data.sqlite'))).toBeNull()
  await bed.start()
})
