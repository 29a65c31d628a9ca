import { randomBytes } from 'node:crypto'
import { agentIds } from '../../../src/core/api/agent-ids.ts'
import { registeredAgent } from '../../../src/core/api/registrar.ts'
import { serverVersion } from '../../../src/core/api/server-version.ts'
import { registrationTag } from '../../../src/core/payload/auth-tag.ts'
import { parseCredentialBlob } from '../../../src/core/tpm/make-credential.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { AttestationKeys } from '../../../src/io/tpm/attestation-keys.ts'
import { readEkCertificates } from '../../../src/io/tpm/ek.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import type { Tpm } from '../../../src/io/tpm/tpm.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'
import { walk } from '../../thorough.ts'

/** Two TPMs stand for all machines. */
const home = temporaryKeylimeDir({ KEYLIME_REGISTRAR_SAME_TPM_UNDER_OTHER_IDS: 'allow' })
let registrar: RunningRegistrar
let admin: ApiClient
let plain: ApiClient

interface Machine {
  swtpm: Swtpm
  tpm: Tpm
  keys: AttestationKeys
  body: Record<string, unknown>
}
const machines: Machine[] = []

beforeAll(async () => {
  giveNotifierKey(home.dir)
  const verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier')) // makes cv_ca
  await verifier.stop()
  registrar = await startRegistrar(loadRegistrarSettings(home.env), testLogger('registrar'))
  admin = adminClient(home.dir, registrar.tlsPort)
  plain = openApiClient({ url: `http://127.0.0.1:${registrar.port}`, name: 'registrar', timeoutSeconds: 10 })
  machines.push(await machine(), await machine())
})
afterAll(async () => {
  await Promise.all([admin.close(), plain.close()])
  await registrar.stop()
  for (const { swtpm, tpm } of machines) {
    tpm.close()
    await swtpm.stop()
  }
  home.remove()
})

async function machine(): Promise<Machine> {
  const swtpm = await startSwtpm({ ekCertificate: true })
  const tpm = await openTpm({ tcti: swtpm.tcti })
  const keys = await AttestationKeys.open({
    tpm,
    kind: { kind: 'rsa2048', hash: 'sha256', signing: 'rsassa' },
    ekHandle: undefined,
    savedAks: async () => [],
    logger: silentLogger,
  })
  const certificates = await readEkCertificates(tpm, 'rsa2048')
  const ekcert = certificates!.certificate.toString('base64')
  return {
    swtpm,
    tpm,
    keys,
    body: {
      ek_tpm: keys.ekPublic.toString('base64'),
      aik_tpm: keys.akBlob.public.toString('base64'),
      ekcert,
      ip: '10.0.0.7',
      port: 9002,
      mtls_cert: 'disabled',
    },
  }
}

const register = (id: string, body: object) => plain.request('POST', `/v2.6/agents/${id}`, { body })
const activate = (id: string, tag: string, method: 'PUT' | 'POST' = 'PUT', suffix = '') =>
  plain.request(method, `/v2.6/agents/${id}${suffix}`, { body: { auth_tag: tag } })
async function answer({ keys, tpm }: Machine, id: string, results: unknown): Promise<string> {
  const blob = parseCredentialBlob(Buffer.from((results as { blob: string }).blob, 'base64'))
  return registrationTag(await keys.use(({ ek, ak }) => tpm.activateCredential(ak, ek, blob)), id)
}
const enrol = async (id: string, m: Machine, body: object = m.body) => activate(id, await answer(m, id, (await register(id, body)).results))
const show = (id: string) => admin.request('GET', `/v2.6/agents/${id}`)
const [first, second] = [() => machines[0]!, () => machines[1]!]

test('a TPM that answers its challenge is registered, and what it said is shown', async () => {
  const { status, results } = await register('one', first().body)
  expect(status).toBe(200)
  expect(Buffer.from((results as { blob: string }).blob, 'base64').length).toBe(336)
  expect((await show('one')).status).toBe(404)
  expect(await activate('one', await answer(first(), 'one', results))).toMatchObject({ status: 200, message: 'Success' })
  expect((await show('one')).results).toMatchObject({
    aik_tpm: first().body['aik_tpm'],
    ek_tpm: first().body['ek_tpm'],
    ekcert: first().body['ekcert'],
    ip: '10.0.0.7',
    port: 9002,
    regcount: 1,
    mtls_cert: 'disabled',
  })
  expect((await admin.request('GET', '/v2.6/agents/')).results).toMatchObject({ uuids: expect.arrayContaining(['one']) })
})

test('its answers are those that tenants of ours read, whole', async () => {
  const { results: agent } = await show('one')
  const read = registeredAgent.parse(agent)
  expect(read).toEqual(agent)
  expect(Object.keys(registeredAgent.shape).filter((member) => !(member in read))).toEqual(['shares_tpm_with']) // where there are others
  expect(agentIds.parse((await admin.request('GET', '/v2.6/agents/')).results)).toContain('one')
  const { results: version } = await admin.request('GET', '/version')
  expect(serverVersion.parse(version)).toEqual(version)
})

test('the same TPM may register again, and is counted', async () => {
  await enrol('again', first())
  expect((await enrol('again', first())).status).toBe(200)
  expect((await show('again')).results).toMatchObject({ regcount: 2 })
})

test('no other TPM, AK or certificate takes over a registered id', async () => {
  await enrol('bound', first())
  const other = second().body
  const { ekcert: _gone, ...withoutCertificate } = first().body
  for (const body of [other, { ...first().body, aik_tpm: other['aik_tpm'] }, withoutCertificate])
    expect(await register('bound', body)).toMatchObject({
      status: 403,
      message: expect.stringContaining('different TPM identity is forbidden'),
    })
})

test('a wrong answer changes nothing, and the right one is taken once', async () => {
  await enrol('steady', first())
  const { results } = await register('steady', first().body)
  const right = await answer(first(), 'steady', results)
  for (let i = 0; i < 20; i++) expect((await activate('steady', 'a'.repeat(96))).status).toBe(400)
  expect((await show('steady')).results).toMatchObject({ regcount: 1 })
  expect((await activate('steady', right.toUpperCase())).status).toBe(200)
  expect((await activate('steady', right)).status).toBe(404)
  expect((await show('steady')).results).toMatchObject({ regcount: 2 })
  expect((await register('steady', second().body)).status).toBe(403)
})

walk('copies of a machine’s public keys, in a flood, cannot keep it from being registered', async () => {
  const copy = { ...first().body, ip: '192.0.2.66', port: 66 }
  for (let round = 0; round < 15; round++) {
    const id = `flooded-${round}`
    const flood = (count: number) => Promise.all(Array.from({ length: count }, () => register(id, copy)))
    await flood(5)
    const { results } = await register(id, first().body)
    const [right] = await Promise.all([answer(first(), id, results), flood(10)])
    await Promise.all(Array.from({ length: 5 }, () => activate(id, 'a'.repeat(96))))
    expect((await activate(id, right)).status).toBe(200)
    expect((await show(id)).results).toMatchObject({ ip: '10.0.0.7', port: 9002, regcount: 1 })
  }
})

test('of thirty TPMs that register one id, the one that answers has it, and no other any more', async () => {
  const others = Array.from({ length: 28 }, () => ({ ...second().body, ek_tpm: strangersEk(), ekcert: undefined }))
  const [{ results }, late] = await Promise.all([
    register('wanted', first().body),
    register('wanted', second().body),
    ...others.map((body) => register('wanted', body)),
  ])
  const [mine, theirs] = [await answer(first(), 'wanted', results), await answer(second(), 'wanted', late.results)]
  expect((await activate('wanted', mine)).status).toBe(200)
  expect((await activate('wanted', theirs)).status).toBe(404)
  expect((await show('wanted')).results).toMatchObject({ ek_tpm: first().body['ek_tpm'] })
})

test('a TPM that has other ids is shown with them, where that is allowed', async () => {
  await enrol('twin-a', first())
  await enrol('twin-b', first())
  expect((await show('twin-a')).results).toMatchObject({ shares_tpm_with: expect.arrayContaining(['twin-b']) })
})

test('an activation without a challenge changes nothing', async () => {
  await enrol('quiet', first())
  expect((await activate('quiet', 'a'.repeat(96))).status).toBe(404)
  expect((await show('quiet')).status).toBe(200)
})

test('the answer of one id does not do for another', async () => {
  const { results } = await register('mine', first().body)
  expect((await activate('mine', await answer(first(), 'theirs', results))).status).toBe(400)
})

test('activation is served under all of upstream’s forms', async () => {
  for (const [id, method, suffix] of [
    ['a1', 'PUT', ''],
    ['a2', 'PUT', '/activate'],
    ['a3', 'POST', '/activate'],
  ] as const) {
    const { results } = await register(id, first().body)
    expect((await activate(id, await answer(first(), id, results), method, suffix)).status).toBe(200)
  }
})

test('an old agent that sends no EK is registered by its certificate', async () => {
  const { ek_tpm: _gone, ...body } = first().body
  expect((await enrol('old', first(), { ...body, port: '9002' })).status).toBe(200)
  expect((await show('old')).results).toMatchObject({ ek_tpm: first().body['ek_tpm'], port: 9002 })
})

test('binary fields may be hex', async () => {
  const hex = (field: string) => Buffer.from(first().body[field] as string, 'base64').toString('hex')
  expect((await register('hex', { ...first().body, ek_tpm: hex('ek_tpm'), aik_tpm: `0x${hex('aik_tpm')}` })).status).toBe(200)
})

/** A storage key that nobody has. */
function strangersEk(): string {
  const area = Buffer.from(first().body['ek_tpm'] as string, 'base64')
  randomBytes(200).copy(area, area.length - 201)
  area[area.length - 1]! |= 1
  return area.toString('base64')
}

test.each([
  ['no AK', { aik_tpm: undefined }, /aik_tpm/],
  ['an AK that may sign anything', { aik_tpm: softwareAk('rsa', 0x00040072).public.toString('base64') }, /restricted is not set/],
  ['a truncated AK', { aik_tpm: 'ABhA' }, /./],
  ['neither EK nor certificate', { ek_tpm: undefined, ekcert: undefined }, /ek_tpm is missing/],
  ['an EK that is not the certificate’s', { ek_tpm: softwareAk('rsa', 0x000300b2).public.toString('base64') }, /not the key of ekcert/],
  ['a certificate that is none', { ekcert: 'AAAA' }, /ekcert/],
  ['half an identity', { iak_tpm: 'AAAA' }, /go together|TPM/],
  ['a port that is none', { port: 70000 }, /port/],
  ['a list as its port', { port: [1] }, /port/],
  ['a truth as its port', { port: true }, /port/],
  ['digits that are no port', { port: '0x10' }, /port/],
  ['a certificate of ten thousand characters', { ekcert: 'A'.repeat(20_000) }, /ekcert/],
])('a registration with %s is refused', async (_name, changes, reason) => {
  const { status, message } = await register('bad', { ...first().body, ...changes })
  expect([status, message]).toEqual([400, expect.stringMatching(reason)])
})

test('an id that could leave a path or forge a log is refused', async () => {
  for (const id of ['..', 'a%2Fb', 'a%0Ab', 'x'.repeat(81)]) expect((await register(id, first().body)).status).toBe(400)
})

test('an oversized body is refused', async () =>
  expect((await register('big', { ...first().body, ip: 'x'.repeat(2 << 20) })).status).toBe(413))

test('an administrator can free an id for another TPM', async () => {
  await enrol('freed', first())
  expect((await admin.request('DELETE', '/v2.6/agents/freed')).status).toBe(200)
  expect((await admin.request('DELETE', '/v2.6/agents/freed')).status).toBe(404)
  expect((await enrol('freed', second())).status).toBe(200)
})

test('registrations are kept over a restart', async () => {
  await enrol('lasting', first())
  await Promise.all([admin.close(), plain.close(), registrar.stop()])
  registrar = await startRegistrar(loadRegistrarSettings(home.env), testLogger('registrar'))
  admin = adminClient(home.dir, registrar.tlsPort)
  plain = openApiClient({ url: `http://127.0.0.1:${registrar.port}`, name: 'registrar', timeoutSeconds: 10 })
  expect((await show('lasting')).status).toBe(200)
  expect((await register('lasting', second().body)).status).toBe(403)
})

describe('where a TPM may have one id', () => {
  const own = temporaryKeylimeDir()
  let strict: RunningRegistrar
  let client: ApiClient
  beforeAll(async () => {
    const verifier = await startVerifier(loadVerifierSettings(own.env), testLogger('verifier'))
    await verifier.stop()
    strict = await startRegistrar(loadRegistrarSettings(own.env), testLogger('registrar'))
    client = openApiClient({ url: `http://127.0.0.1:${strict.port}`, name: 'registrar', timeoutSeconds: 10 })
  })
  afterAll(async () => {
    await client.close()
    await strict.stop()
    own.remove()
  })
  const ask = (id: string, body: object) => client.request('POST', `/v2.6/agents/${id}`, { body })
  const reply = (id: string, tag: string) => client.request('PUT', `/v2.6/agents/${id}`, { body: { auth_tag: tag } })

  test('it gets no other, whichever of its certificates it shows, and its own again', async () => {
    const [early, only] = [await ask('early', first().body), await ask('only', first().body)]
    expect((await reply('only', await answer(first(), 'only', only.results))).status).toBe(200)
    expect(await reply('early', await answer(first(), 'early', early.results))).toMatchObject({ status: 403 })
    const { ekcert: _gone, ...withoutCertificate } = first().body
    for (const body of [first().body, withoutCertificate]) {
      const refused = await ask('other', body)
      expect(refused).toMatchObject({ status: 403, message: expect.stringMatching(/under another agent id/) })
      expect(refused.message).not.toContain('only')
    }
    const again = await ask('only', first().body)
    expect((await reply('only', await answer(first(), 'only', again.results))).status).toBe(200)
    expect((await ask('other', second().body)).status).toBe(200)
  })
})
