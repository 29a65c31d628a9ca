import { generateKeyPairSync } from 'node:crypto'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { oddRsaArea, softwareAk } from '../../software-ak.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const pem = (type: 'rsa' | 'ec') => {
  const { privateKey } = type === 'rsa' ? rsaKeyPair() : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
}
const area = (bytes: Buffer) => bytes.toString('base64')

const WRONG: [string, Record<string, unknown>, RegExp][] = [
  ['a list as its port', { cloudagent_port: [1] }, /cloudagent_port/],
  ['a truth as its port', { cloudagent_port: true }, /cloudagent_port/],
  ['port 0', { cloudagent_port: 0 }, /cloudagent_port/],
  ['a port of sixteen', { cloudagent_port: '0x10' }, /cloudagent_port/],
  ['no port', { cloudagent_port: null }, /cloudagent_port/],
  ['a truth as the port of its verifier', { verifier_port: true }, /verifier_port/],
  ['a number as its address', { cloudagent_ip: 1 }, /cloudagent_ip/],
  ['a URL as its address', { cloudagent_ip: 'http://h' }, /address/],
  ['an object as its metadata', { metadata: {} }, /metadata/],
  ['metadata that are no JSON', { metadata: 'serial 5' }, /metadata is not the JSON text of an object/],
  ['metadata that are a list', { metadata: '[5]' }, /metadata is not the JSON text of an object/],
  ['a word as its revocation key', { revocation_key: 'key' }, /revocation_key: the private key cannot be read/],
  ['an elliptic revocation key', { revocation_key: pem('ec') }, /revocation_key is of type ec/],
  ['a number as its API version', { supported_version: 2.6 }, /supported_version/],
  ['a word as its API version', { supported_version: 'newest' }, /supported_version/],
  ['an AK that signs anything', { ak_tpm: area(softwareAk('ecc', 0x00040072).public) }, /restricted is not set/],
  ['a weak AK', { ak_tpm: area(oddRsaArea({ bits: 1024 })) }, /1024 bits/],
  ['an AK with exponent 3', { ak_tpm: area(oddRsaArea({ exponent: 3 })) }, /exponent is 3/],
  ['an AK that signs with SHA-1', { ak_tpm: area(oddRsaArea({ scheme: [0x14, 4] })) }, /SHA-1/],
  ['an AK without a scheme', { ak_tpm: area(oddRsaArea({ scheme: null })) }, /no signing scheme/],
  ['a private key beside its certificate', { mtls_cert: pem('ec') }, /mtls_cert holds a private key/],
]

test.each(WRONG)('an enrolment with %s is refused, and so is an update', async (_what, changes, reason) => {
  const machine = await bed.machine()
  const refused = { status: 400, message: expect.stringMatching(reason) }
  expect(await bed.add('wrong', machine, changes)).toMatchObject(refused)
  expect((await bed.admin.request('GET', '/v2.6/agents/wrong')).status).toBe(404)
  expect(await bed.add('right', machine)).toMatchObject({ status: 200 })
  expect(await bed.admin.request('PUT', '/v2.6/agents/right', { body: changes })).toMatchObject(refused)
  await bed.admin.request('DELETE', '/v2.6/agents/right')
})

test('no refusal repeats a key', async () => {
  const key = pem('ec')
  const { message } = await bed.add('secret', await bed.machine(), { revocation_key: key, mtls_cert: key })
  expect(message).not.toContain(key.split('\n')[1])
})

test('two certificates of an agent are refused: only one can be the one that it shows', async () => {
  const machine = await bed.machine()
  const { status, message } = await bed.add('two', machine, { mtls_cert: `${machine.certificate}${machine.certificate}` })
  expect([status, message]).toEqual([400, expect.stringMatching(/mtls_cert holds 2 PEM blocks/)])
})

test('ports as digits are taken, as older tenants send them', async () => {
  const machine = await bed.machine()
  expect(await bed.add('digits', machine, { cloudagent_port: String(machine.port), verifier_port: '8881' })).toMatchObject({ status: 200 })
})
