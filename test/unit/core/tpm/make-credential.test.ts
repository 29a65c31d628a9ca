import { randomBytes } from 'node:crypto'
import { ekFromCertificate } from '../../../../src/core/identity/ek-from-certificate.ts'
import { makeCredential, parseCredentialBlob } from '../../../../src/core/tpm/make-credential.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../../software-ak.ts'
import { ecPair, leaf, type Pair, root, rsaPair } from '../pki/fixtures.ts'

const akName = parsePublicArea(softwareAk('ecc').public).name
const ekOf = async (pair: Pair) => ekFromCertificate(await leaf(await root(), 'EK', { pair }))
const [rsa, ecc] = await Promise.all([ekOf(rsaPair()), ekOf(ecPair())])
const challenge = (ek: Buffer, secret = Buffer.alloc(32, 7), random = randomBytes as (count: number) => Buffer) =>
  makeCredential({ ek: parsePublicArea(ek), akName, secret, random })
/** Where symmetric.keyBits stands: behind size, type, nameAlg, attributes, and a policy of 32 bytes. */
const KEY_BITS = 2 + 2 + 2 + 4 + 2 + 32 + 2
/** And the size of the modulus: behind mode and scheme. */
const MODULUS_BITS = KEY_BITS + 2 + 2 + 2
const changed = (ek: Buffer, at: number, value: number) => {
  const copy = Buffer.from(ek)
  copy.writeUInt16BE(value, at)
  return copy
}

test.each([
  ['RSA', rsa, 256],
  ['ECC', ecc, 2 * 34],
])('a challenge for an EK of type %s has the two parts that its TPM takes', (_, ek, size) => {
  const { idObject, encryptedSecret } = parseCredentialBlob(challenge(ek))
  expect([idObject.length, encryptedSecret.length]).toEqual([2 + 32 + 2 + 32, size])
})

test('the same secret never makes the same challenge', () => {
  for (const ek of [rsa, ecc]) expect(challenge(ek).equals(challenge(ek))).toBe(false)
})

test.each<[string, () => unknown, RegExp]>([
  ['an EK without a symmetric algorithm', () => challenge(softwareAk('ecc').public), /not a storage key/],
  ['an EK with AES of 129 bits', () => challenge(changed(rsa, KEY_BITS, 129)), /not a storage key/],
  ['an EK with another cipher', () => challenge(changed(rsa, KEY_BITS - 2, 0x0026)), /not a storage key/],
  ['a secret longer than the digest', () => challenge(rsa, Buffer.alloc(33)), /33 bytes is longer/],
  ['an RSA key too small for the challenge', () => challenge(smallRsa()), /512 bits cannot encrypt/],
])('%s is refused', (_, make, reason) => {
  expect(make).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringMatching(reason) }))
})

test('a source of randomness that gives no usable scalar ends, and does not hang', () => {
  expect(() => challenge(ecc, Buffer.alloc(32), (count) => Buffer.alloc(count))).toThrow(/no usable ECC key/)
})

test.each<[string, (blob: Buffer) => Buffer]>([
  ['another magic', (blob) => Buffer.concat([Buffer.from([0]), blob.subarray(1)])],
  ['another version', (blob) => changed(blob, 6, 2)],
  ['a byte less', (blob) => blob.subarray(0, -1)],
  ['a byte more', (blob) => Buffer.concat([blob, Buffer.alloc(1)])],
])('a credential blob with %s is none', (_, change) => {
  const blob = challenge(ecc)
  expect(() => parseCredentialBlob(change(blob))).toThrow(expect.objectContaining({ code: 'malformed' }))
})

/** A public area may say anything: here an RSA key of 512 bits. */
function smallRsa(): Buffer {
  const area = changed(rsa, MODULUS_BITS, 512).subarray(2, -(2 + 256))
  const unique = Buffer.concat([Buffer.from([0, 64]), Buffer.alloc(64, 0xff)])
  const size = Buffer.alloc(2)
  size.writeUInt16BE(area.length + unique.length)
  return Buffer.concat([size, area, unique])
}
