import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { ecdsaKeyId, readSigningKey, signPolicy } from '../../../../src/core/ima/sign-policy.ts'
import { plainPolicy, preAuthEncoding } from '../../../../src/core/ima/signed-policy.ts'
import { runtimePolicy } from '../../../ima.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

const TYPE = 'application/vnd.keylime+json'
const POLICY = runtimePolicy()
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }) as string
const envelope = (changes: Record<string, unknown> = {}, payload = POLICY) =>
  JSON.stringify({
    payload: Buffer.from(payload).toString('base64'),
    payloadType: TYPE,
    signatures: [{ keyid: 'x', sig: sign('sha256', preAuthEncoding(TYPE, Buffer.from(POLICY)), keys.privateKey).toString('base64') }],
    ...changes,
  })
const key = pem(keys.publicKey)
const codeOf = (text: string, trust: Parameters<typeof plainPolicy>[1]) => {
  try {
    return plainPolicy(text, trust) === POLICY ? 'good' : 'another policy'
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('the encoding that is signed counts bytes', () => expect(preAuthEncoding('ä', Buffer.from('x y')).toString()).toBe('DSSEv1 2 ä 3 x y'))
test.each<[string, string, Parameters<typeof plainPolicy>[1], string]>([
  ['a plain policy', POLICY, { key: null, required: false }, 'good'],
  ['an envelope without a key', envelope(), { key: null, required: false }, 'good'],
  ['an envelope with its key', envelope(), { key, required: true }, 'good'],
  ['a plain policy where signatures are required', POLICY, { key, required: true }, 'invalid_request'],
  ['an envelope without a key where signatures are required', envelope(), { key: null, required: true }, 'unauthorized'],
  [
    'an envelope with another key',
    envelope(),
    { key: pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey), required: false },
    'unauthorized',
  ],
  ['an envelope with another payload', envelope({}, runtimePolicy({ release: 1 })), { key, required: false }, 'unauthorized'],
  ['an envelope with another type', envelope({ payloadType: 'x' }), { key, required: false }, 'unauthorized'],
  ['an envelope without signatures', envelope({ signatures: [] }), { key, required: false }, 'unauthorized'],
  ['an envelope with a signature that is no text', envelope({ signatures: [{ sig: 1 }] }), { key, required: false }, 'invalid_request'],
  ['an envelope with an RSA key', envelope(), { key: pem(rsaKeyPair().publicKey), required: false }, 'unauthorized'],
  [
    'an envelope with a private key',
    envelope(),
    { key: keys.privateKey.export({ type: 'sec1', format: 'pem' }), required: false },
    'unauthorized',
  ],
  ['an envelope with rubbish for a key', envelope(), { key: 'x', required: false }, 'unauthorized'],
  ['no JSON', '{', { key: null, required: false }, 'invalid_request'],
])('%s: %#', (_name, text, trust, expected) => expect(codeOf(text, trust)).toBe(expected))

test('what is signed here is opened with its key, and names that key as upstream does', () => {
  const signed = signPolicy(POLICY, keys.privateKey, ecdsaKeyId(keys.privateKey))
  expect(plainPolicy(signed, { key, required: true })).toBe(POLICY)
  expect(JSON.parse(signed)).toMatchObject({ payloadType: TYPE, signatures: [{ keyid: createHash('sha256').update(key).digest('hex') }] })
  for (const bad of [key, 'x', rsaKeyPair().privateKey.export({ type: 'pkcs8', format: 'pem' })])
    expect(() => readSigningKey(bad)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
})
