import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { ownCopy } from '../own-copy.ts'
import { rememberSpki } from '../spki.ts'
import { type CurveName, curveOf, type HashName, hashNameOf, TPM_ALG } from './algorithms.ts'
import { ByteReader } from './byte-reader.ts'

/** TPMA_OBJECT bits (TPM 2.0 Library, Part 2, section 8.3). */
export const OBJECT_ATTRIBUTE = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const

export interface Scheme {
  algorithm: number
  hash: HashName
}

/** A parsed TPMT_PUBLIC of an asymmetric key, with what follows from it. */
export interface PublicArea {
  /** The marshalled TPMT_PUBLIC, without the size of the TPM2B around it. */
  bytes: Buffer
  type: 'rsa' | 'ecc'
  nameAlg: HashName
  attributes: number
  policy: Buffer
  symmetric: { algorithm: number; keyBits: number } | null
  scheme: Scheme | null
  /** Modulus size for RSA, size of the field for ECC. */
  keyBits: number
  /** RSA's public exponent; null for ECC. */
  exponent: number | null
  curve: CurveName | null
  key: KeyObject
  /** TPM2B_NAME's content: nameAlg and the digest of `bytes` (Part 1, section 16). */
  name: Buffer
}

/** A key that was read, and the DER that it was read from. */
export interface ReadKey {
  readonly publicKey: KeyObject
  readonly spki: Buffer
}

/**
 * Parses a whole TPM2B_PUBLIC (Part 2, section 12.2.5), exactly. @param read such as the certificate of it: where that is the key, it is not read again, which takes longer than all else.
 * @throws KeylimeError `malformed`: truncated, trailing bytes, unsupported type, curve or hash, point not on the curve.
 */
export function parsePublicArea(tpm2bPublic: Uint8Array, read?: ReadKey | null): PublicArea {
  const outer = new ByteReader(tpm2bPublic, 'TPM2B_PUBLIC')
  const bytes = ownCopy(outer.sized())
  outer.end()
  const reader = new ByteReader(bytes, 'TPMT_PUBLIC')
  const type = reader.u16()
  const nameAlg = hashNameOf(reader.u16())
  const attributes = reader.u32()
  const policy = ownCopy(reader.sized())
  const symmetric = readSymmetric(reader)
  const scheme = readScheme(reader)
  const unique = readUnique(reader, type, read)
  reader.end()
  const name = ownCopy(Buffer.concat([bytes.subarray(2, 4), createHash(nameAlg).update(bytes).digest()]))
  return { bytes, nameAlg, attributes, policy, symmetric, scheme, name, ...unique }
}

function readSymmetric(reader: ByteReader): PublicArea['symmetric'] {
  const algorithm = reader.u16()
  if (algorithm === TPM_ALG.NULL) return null
  const keyBits = reader.u16()
  reader.u16() // mode
  return { algorithm, keyBits }
}

function readScheme(reader: ByteReader): Scheme | null {
  const algorithm = reader.u16()
  if (algorithm === TPM_ALG.NULL || algorithm === TPM_ALG.RSAES) return null
  const scheme = { algorithm, hash: hashNameOf(reader.u16()) }
  if (algorithm === TPM_ALG.ECDAA) reader.u16()
  return scheme
}

function readUnique(
  reader: ByteReader,
  type: number,
  read?: ReadKey | null,
): Pick<PublicArea, 'type' | 'keyBits' | 'exponent' | 'curve' | 'key'> {
  if (type === TPM_ALG.RSA) {
    const keyBits = reader.u16()
    const exponent = reader.u32() || 65537
    const modulus = reader.sized()
    if (modulus.length * 8 !== keyBits)
      throw new KeylimeError('malformed', `RSA modulus has ${modulus.length * 8} bits, ${keyBits} are declared`)
    const key = publicKey({ kty: 'RSA', n: modulus.toString('base64url'), e: trimmed(exponent) })
    return { type: 'rsa', keyBits, exponent, curve: null, key }
  }
  if (type === TPM_ALG.ECC) {
    const curve = curveOf(reader.u16())
    readScheme(reader) // kdf
    const x = coordinate(reader.sized(), curve.size)
    const y = coordinate(reader.sized(), curve.size)
    const spki = Buffer.concat([curve.head, x, y])
    const key = read?.spki.equals(spki) ? read.publicKey : publicKey(pemOf(spki))
    rememberSpki(key, spki)
    return { type: 'ecc', keyBits: curve.name === 'P-521' ? 521 : curve.size * 8, exponent: null, curve: curve.name, key }
  }
  throw new KeylimeError('malformed', `TPMT_PUBLIC of type 0x${type.toString(16).padStart(4, '0')} is neither RSA nor ECC`)
}

/** Some TPMs drop leading zero bytes: pad to the size of the field. */
function coordinate(bytes: Buffer, size: number): Buffer {
  if (bytes.length === 0 || bytes.length > size)
    throw new KeylimeError('malformed', `ECC coordinate of ${bytes.length} bytes, the field has ${size}`)
  return Buffer.concat([Buffer.alloc(size - bytes.length), bytes])
}

const trimmed = (exponent: number) =>
  Buffer.from(exponent.toString(16).padStart(exponent > 0xffffff ? 8 : 6, '0'), 'hex').toString('base64url')

/** A text is read in a third of the time of a JWK: of an object Node finds out first, by an exception, that it is no key. It may be one line: OpenSSL reads them of any length. */
const pemOf = (spki: Buffer): string => `-----BEGIN PUBLIC KEY-----\n${spki.toString('base64')}\n-----END PUBLIC KEY-----\n`

function publicKey(given: string | Record<string, string>): KeyObject {
  try {
    return createPublicKey(typeof given === 'string' ? given : { format: 'jwk', key: given })
  } catch (cause) {
    throw new KeylimeError('malformed', 'the TPM public area does not hold a valid key', { cause })
  }
}
