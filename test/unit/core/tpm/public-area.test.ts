import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { sameKey } from '../../../../src/core/pki/keys.ts'
import { spkiOf } from '../../../../src/core/spki.ts'
import { hashAlgOf, TPM_ALG } from '../../../../src/core/tpm/algorithms.ts'
import { sized, u16, u32 } from '../../../../src/core/tpm/byte-writer.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../../software-ak.ts'

const bytesOf = (text: string | undefined) => Buffer.from(text!, 'base64url')
const CURVES = { 'P-256': 3, 'P-384': 4, 'P-521': 5 } as const

interface Parts {
  type?: number
  nameAlg?: number
  scheme?: Buffer
  curve?: number
  x?: Buffer
  y?: Buffer
  behind?: Buffer
}
/** TPM2B_PUBLIC of an ECC key, with any part of it replaced. */
function eccArea(jwk: { x?: string; y?: string }, curve: keyof typeof CURVES, parts: Parts = {}): Buffer {
  return sized(
    Buffer.concat([
      u16(parts.type ?? TPM_ALG.ECC),
      u16(parts.nameAlg ?? hashAlgOf('sha256')),
      u32(0x00050072),
      sized(Buffer.alloc(0)),
      u16(TPM_ALG.NULL),
      parts.scheme ?? Buffer.concat([u16(TPM_ALG.ECDSA), u16(hashAlgOf('sha256'))]),
      u16(parts.curve ?? CURVES[curve]),
      u16(TPM_ALG.NULL),
      sized(parts.x ?? bytesOf(jwk.x)),
      sized(parts.y ?? bytesOf(jwk.y)),
      parts.behind ?? Buffer.alloc(0),
    ]),
  )
}
const pairOf = (namedCurve: keyof typeof CURVES) => generateKeyPairSync('ec', { namedCurve }).publicKey
const P256 = pairOf('P-256')
const jwk = P256.export({ format: 'jwk' })

test.each(['P-256', 'P-384', 'P-521'] as const)('a key on %s is read, with what follows from it', (curve) => {
  const key = pairOf(curve)
  const area = parsePublicArea(eccArea(key.export({ format: 'jwk' }), curve))
  expect(area).toMatchObject({ type: 'ecc', curve, keyBits: Number(curve.slice(2)), nameAlg: 'sha256', symmetric: null })
  expect([sameKey(area.key, key), area.name.toString('hex')]).toEqual([
    true,
    `000b${createHash('sha256').update(area.bytes).digest('hex')}`,
  ])
  expect(spkiOf(area.key)).toEqual(area.key.export({ type: 'spki', format: 'der' }))
})

test('coordinates whose leading zero bytes a TPM dropped are the same', () => {
  for (;;) {
    const key = pairOf('P-256')
    const { x, y } = key.export({ format: 'jwk' })
    if (bytesOf(x)[0] !== 0 && bytesOf(y)[0] !== 0) continue
    const trimmed = (text: string | undefined) => bytesOf(text).subarray(bytesOf(text)[0] === 0 ? 1 : 0)
    expect(sameKey(parsePublicArea(eccArea({}, 'P-256', { x: trimmed(x), y: trimmed(y) })).key, key)).toBe(true)
    return
  }
})

test('an ECDAA scheme has a count behind its hash', () => {
  const scheme = Buffer.concat([u16(TPM_ALG.ECDAA), u16(hashAlgOf('sha256')), u16(1)])
  expect(sameKey(parsePublicArea(eccArea(jwk, 'P-256', { scheme })).key, P256)).toBe(true)
})

test.each<[number, string]>([
  [0, '010001'],
  [3, '03'],
  [65_537, '010001'],
  [0x01000001, '01000001'],
])('an RSA exponent of %i is %s', (exponent, hex) => {
  const rsa = Buffer.from(softwareAk('rsa').public)
  rsa.writeUInt32BE(exponent, rsa.length - 256 - 2 - 4)
  expect(bytesOf(parsePublicArea(rsa).key.export({ format: 'jwk' }).e).toString('hex')).toBe(hex)
})

const rsa = softwareAk('rsa').public
const P384_ON_P256 = pairOf('P-384').export({ format: 'jwk' })
test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a size that does not fit', Buffer.concat([rsa, Buffer.alloc(1)])],
  ['a byte behind the key', eccArea(jwk, 'P-256', { behind: Buffer.alloc(1) })],
  ['a symmetric key', eccArea(jwk, 'P-256', { type: 0x0025 })],
  ['an unknown name algorithm', eccArea(jwk, 'P-256', { nameAlg: 0x7fff })],
  ['an unknown curve', eccArea(jwk, 'P-256', { curve: 1 })],
  ['a point that is not on its curve', eccArea(jwk, 'P-256', { y: Buffer.alloc(32, 1) })],
  ['coordinates longer than the field', eccArea(P384_ON_P256, 'P-256')],
  ['coordinates of nothing', eccArea(jwk, 'P-256', { x: Buffer.alloc(0) })],
  ['a modulus of another size than is said', Buffer.concat([rsa.subarray(0, -257), Buffer.from([255]), rsa.subarray(-256, -1)])],
])('%s is no public area', (_, bytes) => {
  expect(() => parsePublicArea(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('any cut of a public area is malformed, and throws nothing else', () => {
  for (let length = 0; length < rsa.length; length++)
    expect(() => parsePublicArea(rsa.subarray(0, length))).toThrow(expect.objectContaining({ code: 'malformed' }))
  expect(sameKey(parsePublicArea(rsa).key, createPublicKey(parsePublicArea(rsa).key.export({ format: 'pem', type: 'spki' })))).toBe(true)
})

test('what is kept of a key is in memory of its own, not a piece of a pool that it would keep as a whole', () => {
  const { bytes, name } = parsePublicArea(softwareAk('ecc').public)
  expect([bytes.buffer.byteLength, name.buffer.byteLength]).toEqual([bytes.length, name.length])
})

test('a key that was read before is taken as it is, and no other', () => {
  const area = eccArea(P256.export({ format: 'jwk' }), 'P-256')
  const readAs = (key: typeof P256) => ({ publicKey: key, spki: spkiOf(key) })
  expect(parsePublicArea(area, readAs(P256)).key).toBe(P256)
  const another = parsePublicArea(area, readAs(pairOf('P-256'))).key
  expect([another === P256, sameKey(another, P256)]).toEqual([false, true])
  expect(() => parsePublicArea(eccArea({}, 'P-256', { x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 1) }), readAs(P256))).toThrow(
    'does not hold a valid key',
  )
})
