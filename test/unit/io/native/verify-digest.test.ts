import { constants, createPublicKey, createSign, generateKeyPairSync, hash, type KeyObject, privateEncrypt, sign } from 'node:crypto'
import fc from 'fast-check'
import { verifyDigest } from '../../../../src/core/ima/verify-digest.ts'
import { nativeAddon } from '../../../../src/io/native/native-addon.ts'
import { nativeVerifyDigest } from '../../../../src/io/native/verify-digest.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { runs, sampled } from '../../../thorough.ts'

const ORDERS: Record<string, bigint> = {
  'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  'P-384': 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  'P-521': 2n ** 521n - 2n ** 260n + 0xa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  secp256k1: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}
const NONE = Buffer.alloc(0)

/** Both say the same. */
function agreed(key: KeyObject, digest: Buffer, digestInfo: Buffer, signature: Buffer): boolean {
  const verdict = nativeVerifyDigest(key, { digest, digestInfo }, signature)
  expect(verdict).toBe(verifyDigest(key, { digest, digestInfo }, signature))
  return verdict
}

/** DER, wherever it is asked for longer than it need be. */
function der(tag: number, content: Buffer, longer = false): Buffer {
  const size = content.length
  const short = size < 0x80 && !longer
  const length = short ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}
function integer(value: bigint, padding = 0): Buffer {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const sign = bytes[0]! >= 0x80 ? 1 : 0
  return der(2, Buffer.concat([Buffer.alloc(sign + padding), bytes]))
}

/** A good signature, its parts, and what was signed. */
function signed(curve: string, privateKey: KeyObject, data: Buffer, algorithm: string) {
  const p1363 = sign(algorithm, data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const half = p1363.length / 2
  const [r, s] = [BigInt(`0x${p1363.toString('hex', 0, half)}`), BigInt(`0x${p1363.toString('hex', half)}`)]
  return { r, s, n: ORDERS[curve]!, digest: hash(algorithm, data, 'buffer') }
}

type Signed = ReturnType<typeof signed>
const pair = (r: bigint, s: bigint) => der(0x30, Buffer.concat([integer(r), integer(s)]))
/** Ways to write a signature, and whether it must be good. */
const FORMS: Record<string, { good: boolean; of(parts: Signed): Buffer }> = {
  'as it is': { good: true, of: ({ r, s }) => pair(r, s) },
  'with the other s': { good: true, of: ({ r, s, n }) => pair(r, n - s) },
  'with r = 0': { good: false, of: ({ s }) => pair(0n, s) },
  'with s = 0': { good: false, of: ({ r }) => pair(r, 0n) },
  'with r = n': { good: false, of: ({ s, n }) => pair(n, s) },
  'with r + n': { good: false, of: ({ r, s, n }) => pair(r + n, s) },
  'with s = n': { good: false, of: ({ r, n }) => pair(r, n) },
  'with s + n': { good: false, of: ({ r, s, n }) => pair(r, s + n) },
  'with r and s changed': { good: false, of: ({ r, s }) => pair(s, r) },
  'with a negative r': { good: false, of: ({ r, s }) => der(0x30, Buffer.concat([der(2, Buffer.from([0x80])), integer(r), integer(s)])) },
  'with a longer integer': { good: false, of: ({ r, s }) => der(0x30, Buffer.concat([integer(r, 1), integer(s)])) },
  'with a longer length': { good: false, of: ({ r, s }) => der(0x30, Buffer.concat([integer(r), integer(s)]), true) },
  'with bytes behind it': { good: false, of: ({ r, s }) => Buffer.concat([pair(r, s), Buffer.alloc(1)]) },
  'with a third integer': { good: false, of: ({ r, s }) => der(0x30, Buffer.concat([integer(r), integer(s), integer(1n)])) },
  'with r alone': { good: false, of: ({ r }) => der(0x30, integer(r)) },
  'in a set': { good: false, of: ({ r, s }) => der(0x31, Buffer.concat([integer(r), integer(s)])) },
  empty: { good: false, of: () => NONE },
}

describe.each(Object.keys(ORDERS))('ECDSA on %s', (curve) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  const algorithms = fc.constantFrom('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512')

  test.each(Object.entries(FORMS))('a signature %s', (name, { good, of }) => {
    // What is longer than 127 bytes needs the long form: then the longer length is the shortest.
    for (const algorithm of ['sha1', 'sha256', 'sha512']) {
      const parts = signed(curve, privateKey, Buffer.from('a file'), algorithm)
      const isShortest = name === 'with a longer length' && pair(parts.r, parts.s)[1]! >= 0x80
      expect(agreed(publicKey, parts.digest, NONE, of(parts))).toBe(good || isShortest)
    }
  })

  test('both agree whatever is signed and however it is spoilt', () => {
    const other = generateKeyPairSync('ec', { namedCurve: curve }).publicKey
    const data = fc.record({
      content: fc.uint8Array({ maxLength: 20 }),
      algorithm: algorithms,
      spoil: fc.constantFrom('nothing', 'a bit of the signature', 'a bit of the digest', 'the end', 'the key'),
      at: fc.nat(),
    })
    fc.assert(
      fc.property(data, ({ content, algorithm, spoil, at }) => {
        const { r, s, digest } = signed(curve, privateKey, Buffer.from(content), algorithm)
        const signature = pair(r, s)
        if (spoil === 'a bit of the signature') signature[at % signature.length]! ^= 1 << (at % 8)
        // Bits behind the order's size are no part of what is signed: only the first half is spoilt.
        if (spoil === 'a bit of the digest') digest[at % (digest.length / 2)]! ^= 1 << (at % 8)
        const cut = spoil === 'the end' ? signature.subarray(0, at % signature.length) : signature
        expect(agreed(spoil === 'the key' ? other : publicKey, digest, NONE, cut)).toBe(spoil === 'nothing')
      }),
      { numRuns: runs(40, 12) },
    )
  })

  test('of a digest longer than the order its first bits are signed, of a shorter one all', () => {
    for (const size of sampled([0, 1, 19, 31, 32, 33, 47, 48, 49, 64, 65, 66, 67, 100], 2, Object.keys(ORDERS).indexOf(curve))) {
      const { r, s, digest } = signed(curve, privateKey, Buffer.from('a file'), 'sha512')
      agreed(publicKey, Buffer.concat([digest, digest]).subarray(0, size), NONE, pair(r, s))
      agreed(publicKey, Buffer.concat([Buffer.alloc(1), digest]), NONE, pair(r, s))
    }
  })

  test('a key of another curve is refused', () => {
    const { r, s, digest } = signed(curve, privateKey, Buffer.from('a file'), 'sha256')
    for (const name of Object.keys(ORDERS).filter((n) => n !== curve))
      expect(agreed(generateKeyPairSync('ec', { namedCurve: name }).publicKey, digest, NONE, pair(r, s))).toBe(false)
  })
})

describe.each([1024, 2048, 3072, 4096])('RSA with %i bits', (modulusLength) => {
  const { privateKey, publicKey } = rsaKeyPair(modulusLength)
  const info = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = hash('sha256', 'a file', 'buffer')
  const signRaw = (bytes: Buffer) => privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, bytes)
  const whole = Buffer.concat([info, digest])

  test('a signature by OpenSSL over the file is good for its digest', () =>
    expect(agreed(publicKey, digest, whole, createSign('sha256').update('a file').sign(privateKey))).toBe(true))

  test.each<[string, Buffer]>([
    ['of another hash', Buffer.concat([Buffer.from('3031300d060960864801650304020205000420', 'hex'), digest])],
    [
      'without the parameters of the hash',
      Buffer.concat([Buffer.from('302f300b0609608648016503040201', 'hex'), Buffer.from('0420', 'hex'), digest]),
    ],
    ['of the bare digest', digest],
    ['of no digest', info],
    ['with bytes behind the digest', Buffer.concat([whole, Buffer.alloc(1)])],
    ['of nothing', NONE],
  ])('a DigestInfo %s is refused', (_name, bytes) => expect(agreed(publicKey, digest, whole, signRaw(bytes))).toBe(false))

  test('both agree however a signature is spoilt', () => {
    const good = signRaw(whole)
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom('a bit', 'the end', 'more', 'nothing'), (at, spoil) => {
        const signature = Buffer.from(good)
        if (spoil === 'a bit') signature[at % signature.length]! ^= 1 << (at % 8)
        const cut = spoil === 'the end' ? signature.subarray(0, at % signature.length) : signature
        const given = spoil === 'more' ? Buffer.concat([cut, Buffer.alloc(1 + (at % 3))]) : cut
        expect(agreed(publicKey, digest, whole, given)).toBe(spoil === 'nothing')
      }),
      { numRuns: runs(100, 40) },
    )
  })
  test('other paddings are refused', () => {
    for (const padding of [constants.RSA_PKCS1_PSS_PADDING, constants.RSA_PKCS1_PADDING])
      expect(agreed(publicKey, digest, whole, sign('sha384', Buffer.from('a file'), { key: privateKey, padding }))).toBe(false)
  })
})

test('keys that sign no files verify nothing', () => {
  const keys = [
    generateKeyPairSync('ed25519').publicKey,
    generateKeyPairSync('x25519').publicKey,
    generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey,
    generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).publicKey,
    generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).publicKey,
  ]
  for (const key of keys)
    for (const size of [0, 64, 72, 256]) expect(agreed(key, Buffer.alloc(32), Buffer.alloc(51), Buffer.alloc(size))).toBe(false)
})

test('a failure leaves no error behind that a later operation of node takes for its own', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ format: 'pem', type: 'sec1' })
  for (let i = 0; i < 50; i++) {
    expect(nativeVerifyDigest(publicKey, { digest: NONE, digestInfo: NONE }, Buffer.alloc(256, i))).toBe(false)
    expect(() => new (nativeAddon().DigestVerifier)(Buffer.alloc(i))).toThrow('no public key')
    expect(createPublicKey(pem).asymmetricKeyType).toBe('ec')
    expect(() => createPublicKey('not a key')).toThrow(/DECODER|unsupported|no start line/i)
    expect(sign('sha256', NONE, pem).length).toBeGreaterThan(60)
  }
})

test('what is no key of a kind that signs files is no verifier, and what are no bytes is refused', () => {
  const { DigestVerifier } = nativeAddon()
  const spki = (key: KeyObject) => key.export({ format: 'der', type: 'spki' })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  expect(() => new DigestVerifier(Buffer.concat([spki(publicKey), NONE, Buffer.alloc(1)]))).toThrow('no public key')
  expect(() => new DigestVerifier(spki(generateKeyPairSync('ed25519').publicKey))).toThrow('neither RSA nor EC')
  const verifier = new DigestVerifier(spki(publicKey))
  expect(() => verifier.verify('text' as never, NONE)).toThrow('a Uint8Array is needed')
  expect(() => verifier.verify(NONE, null as never)).toThrow('a Uint8Array is needed')
})
