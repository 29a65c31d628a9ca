import { KeylimeError } from '../errors.ts'

/** TPM_ALG_ID values (TPM 2.0 Library, Part 2, section 6.3) that Keylime meets. */
export const TPM_ALG = {
  RSA: 0x0001,
  SHA1: 0x0004,
  AES: 0x0006,
  KEYEDHASH: 0x0008,
  SHA256: 0x000b,
  SHA384: 0x000c,
  SHA512: 0x000d,
  NULL: 0x0010,
  SM3_256: 0x0012,
  RSASSA: 0x0014,
  RSAES: 0x0015,
  RSAPSS: 0x0016,
  OAEP: 0x0017,
  ECDSA: 0x0018,
  ECDAA: 0x001a,
  SM2: 0x001b,
  ECSCHNORR: 0x001c,
  ECC: 0x0023,
  SYMCIPHER: 0x0025,
  CFB: 0x0043,
} as const

/** Hash algorithms in TPM structures that we judge. SM3 is a bank name only: nothing here can compute it. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'

const HASHES: readonly { name: HashName; alg: number; size: number }[] = [
  { name: 'sha1', alg: TPM_ALG.SHA1, size: 20 },
  { name: 'sha256', alg: TPM_ALG.SHA256, size: 32 },
  { name: 'sha384', alg: TPM_ALG.SHA384, size: 48 },
  { name: 'sha512', alg: TPM_ALG.SHA512, size: 64 },
]

export const HASH_NAMES: readonly HashName[] = HASHES.map((h) => h.name)

export const isHashName = (text: string): text is HashName => HASHES.some((h) => h.name === text)

/** The name of a TPM_ALG_ID that is a hash. @throws KeylimeError `malformed` for any other algorithm. */
export function hashNameOf(alg: number): HashName {
  const found = HASHES.find((h) => h.alg === alg)
  if (!found) throw new KeylimeError('malformed', `0x${alg.toString(16).padStart(4, '0')} is not a hash algorithm that can be judged`)
  return found.name
}

export const hashAlgOf = (name: HashName): number => HASHES.find((h) => h.name === name)!.alg

/** Digest size in bytes. */
export const digestSize = (name: HashName): number => HASHES.find((h) => h.name === name)!.size

export type CurveName = 'P-256' | 'P-384' | 'P-521'

interface Curve {
  name: CurveName
  /** TPM_ECC_CURVE (Part 2, section 6.4). */
  id: number
  /** Name for OpenSSL's ECDH. */
  openssl: string
  /** Bytes of one coordinate. */
  size: number
  /** What stands before the two coordinates in a SubjectPublicKeyInfo (RFC 5480, section 2), up to the 04 of an uncompressed point. */
  head: Buffer
}

const CURVES: readonly Curve[] = [
  {
    name: 'P-256',
    id: 0x0003,
    openssl: 'prime256v1',
    size: 32,
    head: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
  },
  {
    name: 'P-384',
    id: 0x0004,
    openssl: 'secp384r1',
    size: 48,
    head: Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'),
  },
  {
    name: 'P-521',
    id: 0x0005,
    openssl: 'secp521r1',
    size: 66,
    head: Buffer.from('30819b301006072a8648ce3d020106052b810400230381860004', 'hex'),
  },
]

/** @throws KeylimeError `malformed` for curves without support (P-192, P-224, BN, SM2). */
export function curveOf(id: number): Curve {
  const found = CURVES.find((c) => c.id === id)
  if (!found) throw new KeylimeError('malformed', `ECC curve 0x${id.toString(16).padStart(4, '0')} is not supported`)
  return found
}

export const curveNamed = (name: CurveName): Curve => CURVES.find((c) => c.name === name)!
