import { createHash } from 'node:crypto'
import { type ImaEntry, parseEntry } from '../../../src/core/ima/entry.ts'
import { type ImaKey, keyringText, readImaKey } from '../../../src/core/ima/keyring.ts'
import { imaVector } from '../../ima.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
beforeAll(() => bed.start())
afterEach(() => bed.retire())
afterAll(() => bed.stop())

const digestOf = (name: string) => createHash('sha256').update(name).digest('hex')
function imaLine(name: string, digest = digestOf(name)): string {
  const line = `10 ${'0'.repeat(40)} ima-ng sha256:${digest} ${name}`
  return line.replace(
    '0'.repeat(40),
    createHash('sha1')
      .update((parseEntry(line) as ImaEntry).data)
      .digest('hex'),
  )
}

/** A machine whose kernel measures: its log grows, and PCR 10 with it. */
async function machine(): Promise<
  SimulatedAgent & { measure(name: string, digest?: string): void; measureLine(line: string): void; asked: number[] }
> {
  const agent = await bed.machine()
  const lines: string[] = []
  const asked: number[] = []
  let pcr = Buffer.alloc(32)
  agent.answer.set('/quotes/integrity', (query, honest) => {
    const entry = Number(query.get('ima_ml_entry'))
    asked.push(entry)
    const from = entry > lines.length ? 0 : entry
    const results = {
      ...honest,
      ima_measurement_list: lines
        .slice(from)
        .map((l) => `${l}\n`)
        .join(''),
      ima_measurement_list_entry: from,
    }
    return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results }) }
  })
  const measure = (name: string, digest?: string) => measureLine(imaLine(name, digest))
  const measureLine = (line: string) => {
    lines.push(line)
    pcr = createHash('sha256')
      .update(pcr)
      .update(
        createHash('sha256')
          .update((parseEntry(line) as ImaEntry).data)
          .digest(),
      )
      .digest()
    agent.pcrs.set(10, pcr)
  }
  measure('boot_aggregate')
  return Object.assign(agent, { measure, measureLine, asked })
}

const policyText = (names: string[], excludes: string[] = []) =>
  JSON.stringify({
    meta: { version: 1, generator: 3 },
    release: 0,
    digests: Object.fromEntries(['boot_aggregate', ...names].map((name) => [name, [digestOf(name)]])),
    excludes,
    keyrings: {},
    ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null },
    'ima-buf': {},
    'verification-keys': '',
  })
const base64 = (text: string) => Buffer.from(text).toString('base64')
const withIma = { tpm_policy: '{"mask":"0x400"}' }
const status = (id: string) => bed.status(id)
const inState = (id: string, state: number) => bed.inState(id, state)
const add = (id: string, agent: SimulatedAgent, changes: object) => bed.add(id, agent, { ...withIma, ...changes })

test('known files are accepted entry by entry, and only what is new is asked for; an unknown one fails the machine by its name', async () => {
  const agent = await machine()
  agent.measure('/usr/bin/known')
  expect((await add('ima', agent, { runtime_policy: base64(policyText(['/usr/bin/known', '/usr/bin/later'])) })).status).toBe(200)
  await until('attestations', async () => (await status('ima')).attestation_count >= 3)
  agent.measure('/usr/bin/later')
  await until('the next entry asked', () => agent.asked.at(-1) === 3)
  expect(await status('ima')).toMatchObject({ operational_state: 3, has_runtime_policy: 1 })
  agent.measure('/usr/bin/evil')
  await inState('ima', 9)
  const failed = await status('ima')
  expect(failed.last_event_id).toBe('ima.validation.ima-ng.not_in_allowlist')
  expect(failed.failures[0].context).toMatchObject({ path: '/usr/bin/evil', got: expect.stringContaining(digestOf('/usr/bin/evil')) })
})

test('a restart of the verifier goes on from the entry it had reached', async () => {
  const agent = await machine()
  agent.measure('/a')
  await add('restart', agent, { runtime_policy: base64(policyText(['/a', '/b'])) })
  await inState('restart', 3)
  await until('progress', () => agent.asked.at(-1) === 2)
  await new Promise((done) => setTimeout(done, 1200)) // counters are written once a second
  agent.asked.length = 0
  await bed.restart()
  await until('asked again', () => agent.asked.length > 0)
  expect(agent.asked[0]).toBe(2)
  agent.measure('/b')
  await until('attested', () => agent.asked.at(-1) === 3)
})

test('a named policy that is updated judges its agents anew, without adding them again', async () => {
  const agent = await machine()
  agent.measure('/x')
  const call = (method: 'POST' | 'PUT' | 'GET' | 'DELETE', name: string, text?: string) =>
    bed.admin.request(method, `/v2.6/allowlists/${name}`, text === undefined ? {} : { body: { runtime_policy: base64(text) } })
  expect((await call('POST', 'fleet', policyText(['/x']))).status).toBe(201)
  expect((await call('POST', 'fleet', policyText(['/x']))).message).toBe('Runtime policy with name fleet already exists')
  expect((await call('PUT', 'none', policyText(['/x']))).message).toBe(
    'Runtime policy with name none does not already exist, use POST to create',
  )
  expect((await call('POST', 'bad', '{"meta": {}}')).message).toMatch(/meta.version/)
  expect((await add('named', agent, { runtime_policy_name: 'fleet' })).status).toBe(200)
  await inState('named', 3)
  agent.measure('/y')
  await inState('named', 9)
  expect((await call('PUT', 'fleet', policyText(['/x', '/y']))).status).toBe(201)
  await bed.admin.request('PUT', '/v2.6/agents/named/reactivate', { body: {} })
  await inState('named', 3)
  expect((await call('DELETE', 'fleet')).status).toBe(409)
  expect((await call('GET', 'fleet')).results).toMatchObject({ name: 'fleet', runtime_policy: policyText(['/x', '/y']) })
})

test('whoever gives a policy that excludes everything is told so, for a name and for an agent; others get no word of it', async () => {
  const send = (method: 'POST' | 'PUT', excludes: string[]) =>
    bed.admin.request(method, '/v2.6/allowlists/open', { body: { runtime_policy: base64(policyText([], excludes)) } })
  const told = { warnings: [{ policy: 'runtime_policy', path: 'excludes[0]', message: expect.stringContaining('excludes every file') }] }
  expect(await send('POST', ['.*'])).toMatchObject({ status: 201, results: told })
  expect((await add('open', await machine(), { runtime_policy_name: 'open' })).results).toEqual(told)
  expect((await add('open-too', await machine(), { runtime_policy: base64(policyText([], ['.*'])) })).results).toEqual(told)
  expect((await send('PUT', ['/var/log/'])).results).toEqual({})
  expect((await add('narrow', await machine(), { runtime_policy_name: 'open' })).results).toEqual({})
})

test('keys of the agent itself count in the place of the policy’s, also after the policy was updated', async () => {
  const keys = new Map(
    ['rsa2048pub.pem', 'secp256k1pub.pem'].map((file) => readImaKey(imaVector(file)) as ImaKey).map(({ id, key }) => [id, key]),
  )
  const signed = imaVector('signatures.txt').toString().trim().split('\n')
  const own = { ima_sign_verification_keys: keyringText(keys) }
  const create = bed.admin.request('POST', '/v2.6/allowlists/unsigned', { body: { runtime_policy: base64(policyText([])) } })
  expect((await create).status).toBe(201)
  const [one, other] = [await machine(), await machine()]
  for (const line of signed) for (const agent of [one, other]) agent.measureLine(line)
  await add('own-keys', one, { runtime_policy_name: 'unsigned', ...own })
  await add('no-keys', other, { runtime_policy_name: 'unsigned' })
  await inState('own-keys', 3)
  await inState('no-keys', 9)
  await bed.admin.request('PUT', '/v2.6/allowlists/unsigned', { body: { runtime_policy: base64(policyText(['/later'])) } })
  one.measure('/later')
  one.measureLine(signed[0]!)
  await until('the new entries', () => one.asked.at(-1) === 3 + signed.length)
  expect((await status('own-keys')).operational_state).toBe(3)
})

test('an agent without a policy is not judged by its log, and a broken policy is refused with its place', async () => {
  const agent = await machine()
  const empty = policyText([])
    .replace(/"digests":\{[^}]*\}/, '"digests":{}')
    .replace('"generator":3', '"generator":0')
  expect((await add('empty', agent, { runtime_policy: base64(empty), tpm_policy: '{"mask":"0x0"}' })).status).toBe(200)
  await inState('empty', 3)
  const broken = await add('broken', agent, { runtime_policy: base64(policyText([], ['('])) })
  expect([broken.status, broken.message]).toEqual([400, expect.stringMatching(/excludes\[0\]/)])
})

test('a runtime policy is judged whatever the mask of the static policy says: the verifier asks for PCR 10 itself', async () => {
  const agent = await machine()
  expect((await add('masked', agent, { runtime_policy: base64(policyText([])), tpm_policy: '{"mask":"0x0"}' })).status).toBe(200)
  await inState('masked', 3)
  const other = await machine()
  const nothing = policyText([]).replace(/"digests":\{[^}]*\}/, '"digests":{}')
  expect((await add('masked-bad', other, { runtime_policy: base64(nothing), tpm_policy: '{"mask":"0x0"}' })).status).toBe(200)
  await inState('masked-bad', 9)
})
