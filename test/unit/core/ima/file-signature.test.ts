import { constants, createHash, createPublicKey, generateKeyPairSync, type KeyObject, privateEncrypt, sign } from 'node:crypto'
import { verifyDigestEcdsa } from '../../../../src/core/ima/ecdsa.ts'
import { parseEntry } from '../../../../src/core/ima/entry.ts'
import { formDefect, isWellFormed, signatureDefect, verifyFileSignature } from '../../../../src/core/ima/file-signature.ts'
import { computedKeyId, keyringText, parseKeyring, readImaKey } from '../../../../src/core/ima/keyring.ts'
import { imaLine, imaVector } from '../../../ima.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

const [rsaLine, ecLine] = imaVector('signatures.txt').toString().split('\n') as [string, string]
const [rsa, ec] = ['rsa2048pub.pem', 'secp256k1pub.pem'].map((file) => createPublicKey(imaVector(file))) as [KeyObject, KeyObject]
const ring = new Map([rsa, ec].map((key) => [computedKeyId(key), key]))

test('key ids are the kernel’s', () => expect([...ring.keys()]).toEqual([0xf3452d23, 0x531f4025]))
test('the id of a certificate is the end of its subject key id', () => {
  expect(readImaKey(parseEntry(imaVector('keyring.txt').toString().trim()).extra)).toMatchObject({ id: 0x2cb6058c })
})
test('signatures with RSA and with ECDSA on secp256k1 are good by their keys only', () => {
  for (const line of [rsaLine, ecLine]) {
    const entry = parseEntry(line)
    expect(verifyFileSignature(entry, [ring])).toBe(true)
    expect(verifyFileSignature(entry, [])).toBe(false)
    expect(verifyFileSignature({ ...entry, digest: `00${entry.digest.slice(2)}` }, [ring])).toBe(false)
    const damaged = Buffer.from(entry.extra)
    damaged[damaged.length - 1]! ^= 1
    expect(verifyFileSignature({ ...entry, extra: damaged }, [ring])).toBe(false)
  }
})
test('only the first keyring that has the key id is asked', () => {
  const other = new Map([[0xf3452d23, ec]])
  expect(verifyFileSignature(parseEntry(rsaLine), [other, ring])).toBe(false)
  expect(verifyFileSignature(parseEntry(rsaLine), [ring, other])).toBe(true)
})

test.each(['P-256', 'P-384', 'P-521', 'secp256k1'])('ECDSA over a digest agrees with OpenSSL on %s', (namedCurve) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  const data = Buffer.from('a file')
  for (const hash of ['sha1', 'sha256', 'sha512']) {
    const signature = sign(hash, data, privateKey)
    const digest = createHash(hash).update(data).digest()
    expect(verifyDigestEcdsa(publicKey, digest, signature)).toBe(true)
    expect(verifyDigestEcdsa(publicKey, createHash(hash).update('another').digest(), signature)).toBe(false)
    expect(verifyDigestEcdsa(generateKeyPairSync('ec', { namedCurve }).publicKey, digest, signature)).toBe(false)
    expect(verifyDigestEcdsa(publicKey, digest, Buffer.concat([signature, Buffer.from([0])]))).toBe(false)
  }
})
test.each(['3006020100020100', '3006020101020100', '', '30', '3003020101', '3006020181020181'])(
  'the ECDSA signature %s is refused',
  (hex) => {
    expect(verifyDigestEcdsa(ec, Buffer.alloc(32, 1), Buffer.from(hex, 'hex'))).toBe(false)
  },
)

describe('headers', () => {
  const { privateKey, publicKey } = rsaKeyPair()
  const id = computedKeyId(publicKey)
  const info = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = createHash('sha256').update('content').digest()
  const rawSign = (d: Buffer) => privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.concat([info, d]))
  function entryWith(type: number, version: number, signed: Buffer, { algorithm = 4, digestType = 'ima' } = {}) {
    const signature = rawSign(signed)
    const header = Buffer.from([type, version, algorithm, 0, 0, 0, 0, signature.length >> 8, signature.length & 0xff])
    header.writeUInt32BE(id, 3)
    const hex = Buffer.concat([header, signature]).toString('hex')
    return parseEntry(imaLine(`ima-sigv2 ${digestType}:sha256:${digest.toString('hex')} /x ${hex}`))
  }
  const judge = (...args: Parameters<typeof entryWith>) => verifyFileSignature(entryWith(...args), [new Map([[id, publicKey]])])
  const verityId = createHash('sha256')
    .update(Buffer.concat([Buffer.from([6, 4]), digest]))
    .digest()

  const signedBy = (bytes: Buffer, algorithm: number, hash: string, of: string) => {
    const header = Buffer.from([3, 2, algorithm, 0, 0, 0, 0, bytes.length >> 8, bytes.length & 0xff])
    header.writeUInt32BE(id, 3)
    return parseEntry(
      imaLine(`ima-sig ${hash}:${createHash(hash).update(of).digest('hex')} /x ${Buffer.concat([header, bytes]).toString('hex')}`),
    )
  }
  const KERNEL_HASHES = { md5: 1, sha1: 2, sha256: 4, sha384: 5, sha512: 6, sha224: 7 }
  test.each(Object.entries(KERNEL_HASHES))(
    'with %s, number %d of the kernel, hold as OpenSSL makes them, and under no other number',
    (hash, number) => {
      const bytes = sign(hash, Buffer.from('content'), privateKey)
      const ring = [new Map([[id, publicKey]])]
      for (const other of [0, 3, 8, ...Object.values(KERNEL_HASHES)])
        expect(verifyFileSignature(signedBy(bytes, other, hash, 'content'), ring)).toBe(other === number)
      expect(verifyFileSignature(signedBy(bytes, number, hash, 'other'), ring)).toBe(false)
    },
  )

  test('of one that is not good it is said why', () => {
    const keyId = id.toString(16).padStart(8, '0')
    const ring = [new Map([[id, publicKey]])]
    const reason = (bytes: Buffer, rings = ring) => signatureDefect(signedBy(bytes, 4, 'sha256', 'content'), rings)
    expect(reason(Buffer.alloc(256), [])).toEqual({ keyId, reason: `it is signed by key ${keyId}, which the policy does not know` })
    expect(reason(Buffer.alloc(255))).toEqual({ keyId, reason: `its signature has 255 bytes, and key ${keyId} makes signatures of 256` })
    expect(reason(Buffer.alloc(256))).toEqual({ keyId, reason: `its signature by key ${keyId} does not hold` })
    expect(reason(Buffer.alloc(70), [new Map([[id, ec]])])).toEqual({ keyId, reason: `its signature by key ${keyId} does not hold` })
    expect(signatureDefect(parseEntry(imaLine(`ima-ng sha256:${'0'.repeat(64)} /x`)), ring)).toBeNull()
  })

  test.each([
    ['', 'it has 0 bytes, and its header alone has 9', false],
    ['030204000000010002ab', 'its header says 2 bytes, and 1 are there', false],
    ['030204000000010001ab', '', true],
    ['030204000000010000', '', true],
  ])('the signature %j is well formed, or it is said why not', (hex, why, good) => {
    const bytes = Buffer.from(hex, 'hex')
    expect(isWellFormed(bytes)).toBe(good)
    if (!good) expect(formDefect(bytes)).toBe(why)
  })

  test('version 2 signs the digest, in a plain or a portable xattr', () =>
    expect([judge(3, 2, digest), judge(5, 2, digest)]).toEqual([true, true]))
  test('version 3 signs type, algorithm and digest of fs-verity', () => expect(judge(6, 3, verityId, { digestType: 'verity' })).toBe(true))
  test.each<[string, Parameters<typeof entryWith>]>([
    ['of version 1', [3, 1, digest]],
    ['in another xattr', [4, 2, digest]],
    ['of another algorithm than the digest', [3, 2, digest, { algorithm: 6 }]],
    ['of version 2 over a digest of fs-verity', [3, 2, digest, { digestType: 'verity' }]],
    ['of version 3 over a digest of content', [6, 3, verityId]],
    ['of version 3 over the bare digest', [6, 3, digest, { digestType: 'verity' }]],
  ])('a signature %s is not good', (_name, args) => expect(judge(...args)).toBe(false))
})

test('keyrings are written and read, also when encoded twice; a bad key is named', () => {
  const text = keyringText(ring)
  expect([...parseKeyring(text, 'k').keys()]).toEqual([...ring.keys()])
  expect([...parseKeyring(JSON.stringify(text), 'k').keys()]).toEqual([...ring.keys()])
  expect(() => parseKeyring(JSON.stringify(JSON.stringify(text)), 'k')).toThrow('k: is not the JSON text of a keyring')
  expect(() => parseKeyring('{"pubkeys":["AAAA"]}', 'verification-keys')).toThrow(/^verification-keys\.pubkeys\[0\]: /)
  expect(parseKeyring('{"keyids":[-1],"pubkeys":[]}', 'k').size).toBe(0)
  expect(() => parseKeyring('[', 'k')).toThrow(/^k: /)
})

test('a keyring has a thousand keys at most, each with a number of 32 bits', () => {
  const [key] = (JSON.parse(keyringText(ring)) as { pubkeys: string[] }).pubkeys as [string]
  const text = (count: number, keyids: unknown[] = []) => JSON.stringify({ keyids, pubkeys: Array(count).fill(key) })
  expect(parseKeyring(text(1000), 'k').size).toBe(1)
  expect(() => parseKeyring(text(1001), 'k')).toThrow('k.pubkeys: has 1001 keys, at most 1000 are accepted')
  expect([...parseKeyring(text(2, [0xffffffff, 1]), 'k').keys()]).toEqual([0xffffffff, 1])
  for (const id of [-1, 0x100000000, 1.5, '1', null].filter((one) => one !== null))
    expect(() => parseKeyring(text(1, [id]), 'k')).toThrow('k.keyids[0]: is not a number of 32 bits')
  for (const odd of ['{"pubkeys": "x"}', '{"keyids": 1, "pubkeys": []}', '{}'])
    expect(() => parseKeyring(odd, 'k')).toThrow(
      expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining('k.pubkeys: must be a list') }),
    )
  for (const odd of ['null', '7', '"x"']) expect(() => parseKeyring(odd, 'k')).toThrow('k: is not the JSON text of a keyring')
})
