import { constants, createPublicKey, generateKeyPairSync, pbkdf2Sync, privateDecrypt, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { authTag, challengeHmac, registrationTag, sameTag } from '../../../../src/core/payload/auth-tag.ts'
import { openPayload, sealPayload } from '../../../../src/core/payload/seal.ts'
import { combineKey, splitKey } from '../../../../src/core/payload/split-key.ts'
import { decryptShare, encryptShare } from '../../../../src/core/payload/transport.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

const K = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
const V = Buffer.from(Array.from({ length: 32 }, (_, i) => 32 + i))
const ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'

// Values computed with upstream's functions (protocol 11).
test('the auth tag is upstream’s', () =>
  expect(authTag(K, ID)).toBe('74216909e21c5a1a5fb9e0ad23881f6f1693d01b5469c4d12dfe4ea151ab3334690966790c8e3b4a358b1be3ca443e2d'))
test('the proof of K is upstream’s', () =>
  expect(challengeHmac(K, 'abcDEF0123456789wxyz')).toBe(
    '35bb563ca9d9051982fe8e848bc3e053f1b97773a69c4141ae6f759d77dc79d2494d7bba193c59fda2f9552442b449ad',
  ))
test('the registration tag is upstream’s: its key is the base64 text', () =>
  expect(registrationTag(Buffer.from('A'.repeat(32)), ID)).toBe(
    '7b1230247cf3b45b97c8ab3af3743e495468f1a03c846b57380cc80d4f1e6ecc617f9e4b8beb7e8e0bdbfd67e69ee523',
  ))
test('the shares are upstream’s', () => {
  expect(splitKey(K, V)).toEqual(Buffer.alloc(32, 32))
  expect(combineKey(splitKey(K, V), V)).toEqual(K)
})
test('a sealed payload is upstream’s, byte for byte', () => {
  const iv = Buffer.from(Array.from({ length: 16 }, (_, i) => 0xa0 + i))
  const sealed = sealPayload(K, iv, Buffer.from('hello keylime'))
  expect(sealed).toBe('oKGio6SlpqeoqaqrrK2ur0LGT9B37aYTuvJ23IgRNG1kQVxacSuD/a35hpz3')
  expect(openPayload(K, sealed).toString()).toBe('hello keylime')
})
test('PBKDF2 with the salt’s text is upstream’s', () =>
  expect(pbkdf2Sync('keylime', 'c2FsdA==', 100_000, 32, 'sha256').toString('hex')).toBe(
    'b3c2458f483fea1d7ca0c55e1dfade3a8bee364185953aa593cf3bdc0121ea79',
  ))

test('a payload opens with its key only, and only unchanged', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (plain, position) => {
      const sealed = sealPayload(K, randomBytes(16), plain)
      expect(openPayload(K, sealed)).toEqual(Buffer.from(plain))
      expect(() => openPayload(V, sealed)).toThrow(/does not open/)
      const bytes = Buffer.from(sealed, 'base64')
      bytes[position % bytes.length]! ^= 1
      expect(() => openPayload(K, bytes.toString('base64'))).toThrow(/does not open/)
    }),
    { numRuns: 50 },
  )
})
test('a truncated payload does not open', () => expect(() => openPayload(K, 'AAAA')).toThrow(/too short/))
test.each([15, 17, 0, 31])('a key of %d bytes is refused', (length) =>
  expect(() => sealPayload(Buffer.alloc(length), Buffer.alloc(16), K)).toThrow(/16 or 32/),
)

describe('a share in transport', () => {
  const { publicKey, privateKey } = rsaKeyPair()
  const pem = publicKey.export({ format: 'pem', type: 'spki' }) as string
  test('reaches the holder of the transport key', () => expect(decryptShare(privateKey, encryptShare(pem, V))).toEqual(V))
  test('uses OAEP with SHA-1, as upstream', () => {
    expect(
      privateDecrypt(
        { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.from(encryptShare(pem, V), 'base64'),
      ),
    ).toEqual(V)
  })
  test('does not open with another key', () =>
    expect(() => decryptShare(rsaKeyPair().privateKey, encryptShare(pem, V))).toThrow(/not encrypted to this/))
  test('is refused in words to numbers that are no RSA key, whatever OpenSSL makes of them', () => {
    const made = (n: Buffer, e: Buffer) =>
      createPublicKey({ format: 'jwk', key: { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') } }).export({
        format: 'pem',
        type: 'spki',
      }) as string
    const exponent = Buffer.from([1, 0, 1])
    for (const bad of [
      made(Buffer.alloc(2100, 0xff), exponent),
      made(Buffer.alloc(256, 0xfe), exponent),
      made(Buffer.alloc(512, 0xff), Buffer.alloc(511, 0xff)),
    ])
      expect(() => encryptShare(bad, V)).toThrow(
        expect.objectContaining({ code: 'malformed', message: 'nothing can be encrypted to the transport key' }),
      )
    expect(() => encryptShare(made(Buffer.alloc(256, 0xff), Buffer.from([1])), V)).toThrow('its exponent is below 3')
    expect(() => encryptShare(made(Buffer.alloc(256, 0xff), Buffer.from([3])), V)).not.toThrow()
  })
  test('is never encrypted to a weak key, or to one of another kind', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'pem', type: 'spki' }) as string
    const ec = createPublicKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' })).export(
      { format: 'pem', type: 'spki' },
    ) as string
    for (const bad of [weak, ec]) expect(() => encryptShare(bad, V)).toThrow('the transport key must be RSA of at least 2048 bits')
    expect(() => encryptShare('no key', V)).toThrow('the transport key is not a PEM public key')
  })
})

test('tags are compared in full', () => {
  expect(sameTag('ab', 'ab')).toBe(true)
  for (const other of ['ac', 'a', 'abc', '']) expect(sameTag('ab', other)).toBe(false)
})

describe('what cannot be done says so by its code', () => {
  const pem = (modulusLength: number, type: 'rsa' | 'rsa-pss' = 'rsa') =>
    generateKeyPairSync(type as 'rsa', { modulusLength }).publicKey.export({ format: 'pem', type: 'spki' }) as string
  const one = { kty: 'RSA', n: Buffer.alloc(256, 0xff).toString('base64url'), e: 'AQ' }
  const exponentOne = createPublicKey({ format: 'jwk', key: one }).export({ format: 'pem', type: 'spki' }) as string
  test.each<[string, () => unknown, string]>([
    ['an IV that is too short', () => sealPayload(K, Buffer.alloc(15), K), 'malformed'],
    ['an IV that is too long', () => sealPayload(K, Buffer.alloc(17), K), 'malformed'],
    ['a key of 24 bytes', () => sealPayload(Buffer.alloc(24), Buffer.alloc(16), K), 'malformed'],
    ['less than IV and tag', () => openPayload(K, Buffer.alloc(31).toString('base64')), 'decryption_failed'],
    ['a tag that is none', () => openPayload(K, Buffer.alloc(32).toString('base64')), 'decryption_failed'],
    ['a transport key that is none', () => encryptShare('no key', V), 'malformed'],
    ['a weak transport key', () => encryptShare(pem(1024), V), 'malformed'],
    ['a transport key that only signs', () => encryptShare(pem(2048, 'rsa-pss'), V), 'malformed'],
    ['a transport key with exponent 1', () => encryptShare(exponentOne, V), 'malformed'],
    ['a share for another key', () => decryptShare(rsaKeyPair().privateKey, 'AAAA'), 'decryption_failed'],
    ['halves of two sizes', () => combineKey(K, V.subarray(0, 16)), 'malformed'],
  ])('%s', (_what, act, code) => expect(act).toThrow(expect.objectContaining({ name: 'KeylimeError', code })))

  test('keys of 16 and of 32 bytes seal, nothing too', () => {
    for (const key of [K, K.subarray(0, 16)])
      expect(openPayload(key, sealPayload(key, Buffer.alloc(16, 1), Buffer.alloc(0)))).toHaveLength(0)
  })
})
