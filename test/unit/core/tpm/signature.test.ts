import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type HashName, hashAlgOf, TPM_ALG } from '../../../../src/core/tpm/algorithms.ts'
import { sized, u16 } from '../../../../src/core/tpm/byte-writer.ts'
import { parseSignature, verifySignature } from '../../../../src/core/tpm/signature.ts'
import { ecPair, rsaPair } from '../pki/fixtures.ts'

const DATA = Buffer.from('what the TPM says')
const head = (algorithm: number, hash: HashName) => Buffer.concat([u16(algorithm), u16(hashAlgOf(hash))])
const signer = (key: KeyObject) => ({ type: key.asymmetricKeyType === 'rsa' ? ('rsa' as const) : ('ecc' as const), key })

/** A TPMT_SIGNATURE of r and s as the TPM marshals them, and as those that drop leading zero bytes do. */
function ecdsa(privateKey: KeyObject, data: Buffer, hash: HashName, trimmed = false): { r: Buffer; s: Buffer; bytes: Buffer } {
  const p1363 = sign(hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const half = p1363.length / 2
  const trim = (number: Buffer) => (trimmed ? number.subarray(number.findIndex((byte) => byte !== 0)) : number)
  const [r, s] = [trim(p1363.subarray(0, half)), trim(p1363.subarray(half))]
  return { r, s, bytes: Buffer.concat([head(TPM_ALG.ECDSA, hash), sized(r), sized(s)]) }
}

test.each([
  ['P-256', 'sha256'],
  ['P-384', 'sha384'],
  ['P-521', 'sha512'],
] as const)('ECDSA on %s holds for its key and its data only', (namedCurve, hash) => {
  const [pair, other] = [generateKeyPairSync('ec', { namedCurve }), generateKeyPairSync('ec', { namedCurve })]
  for (const trimmed of [false, true]) {
    const signature = parseSignature(ecdsa(pair.privateKey, DATA, hash, trimmed).bytes)
    expect(signature).toMatchObject({ algorithm: 'ecdsa', hash })
    expect(verifySignature(signer(pair.publicKey), DATA, signature)).toBe(true)
    expect(verifySignature(signer(other.publicKey), DATA, signature)).toBe(false)
    expect(verifySignature(signer(pair.publicKey), Buffer.from('another'), signature)).toBe(false)
  }
})

test.each<[string, (first: number) => boolean]>([
  ['a zero', (first) => first === 0],
  ['0x7f', (first) => first === 0x7f],
  ['0x80', (first) => first === 0x80],
  ['0xff', (first) => first === 0xff],
])('numbers that begin with %s are read as the positive numbers they are', (_, fits) => {
  const pair = ecPair()
  for (let i = 0; ; i++) {
    const data = Buffer.from(`message ${i}`)
    const { r, s, bytes } = ecdsa(pair.privateKey, data, 'sha256')
    if (!fits(r[0]!) && !fits(s[0]!)) continue
    expect(verifySignature(signer(pair.publicKey), data, parseSignature(bytes))).toBe(true)
    return
  }
})

test('RSASSA and RSASSA-PSS hold as what they say they are, and not as the other', () => {
  const { privateKey, publicKey } = rsaPair()
  const plain = sign('sha256', DATA, privateKey)
  const pss = sign('sha256', DATA, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
  const longest = sign('sha256', DATA, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 222 })
  const holds = (algorithm: number, value: Buffer) =>
    verifySignature(signer(publicKey), DATA, parseSignature(Buffer.concat([head(algorithm, 'sha256'), sized(value)])))
  expect([holds(TPM_ALG.RSASSA, plain), holds(TPM_ALG.RSAPSS, pss), holds(TPM_ALG.RSAPSS, longest)]).toEqual([true, true, true])
  expect([holds(TPM_ALG.RSASSA, pss), holds(TPM_ALG.RSAPSS, plain)]).toEqual([false, false])
})

test('the scheme must fit the type of the key', () => {
  const [rsa, ec] = [rsaPair(), ecPair()]
  const byEc = parseSignature(ecdsa(ec.privateKey, DATA, 'sha256').bytes)
  expect(verifySignature({ type: 'rsa', key: ec.publicKey }, DATA, byEc)).toBe(false)
  const byRsa = parseSignature(Buffer.concat([head(TPM_ALG.RSASSA, 'sha256'), sized(sign('sha256', DATA, rsa.privateKey))]))
  expect(verifySignature({ type: 'ecc', key: rsa.publicKey }, DATA, byRsa)).toBe(false)
})

const good = ecdsa(ecPair().privateKey, DATA, 'sha256').bytes
test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a scheme that nobody verifies', Buffer.concat([u16(TPM_ALG.NULL), good.subarray(2)])],
  ['a hash that is none', Buffer.concat([good.subarray(0, 2), u16(0x7fff), good.subarray(4)])],
  ['a number of 67 bytes', Buffer.concat([head(TPM_ALG.ECDSA, 'sha256'), sized(Buffer.alloc(67, 1)), sized(Buffer.alloc(32, 1))])],
  ['a byte less', good.subarray(0, -1)],
  ['a byte more', Buffer.concat([good, Buffer.alloc(1)])],
])('%s is no signature', (_, bytes) => {
  expect(() => parseSignature(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('numbers of zero and of nothing verify nothing, and throw nothing', () => {
  for (const number of [Buffer.alloc(0), Buffer.alloc(32)]) {
    const signature = parseSignature(Buffer.concat([head(TPM_ALG.ECDSA, 'sha256'), sized(number), sized(number)]))
    expect(verifySignature(signer(ecPair().publicKey), DATA, signature)).toBe(false)
  }
})
