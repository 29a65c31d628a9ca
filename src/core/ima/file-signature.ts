import { hash as hashOf, type KeyObject } from 'node:crypto'
import type { ImaEntry } from './entry.ts'
import type { KeyLookup } from './keyring.ts'
import { type VerifyDigest, verifyDigest } from './verify-digest.ts'

/** Kernel numbers of hash algorithms, and the DER head of a PKCS#1 v1.5 DigestInfo. */
const HASHES: Record<number, { name: string; head: Buffer } | undefined> = {
  1: { name: 'md5', head: Buffer.from('3020300c06082a864886f70d020505000410', 'hex') },
  2: { name: 'sha1', head: Buffer.from('3021300906052b0e03021a05000414', 'hex') },
  4: { name: 'sha256', head: Buffer.from('3031300d060960864801650304020105000420', 'hex') },
  5: { name: 'sha384', head: Buffer.from('3041300d060960864801650304020205000430', 'hex') },
  6: { name: 'sha512', head: Buffer.from('3051300d060960864801650304020305000440', 'hex') },
  7: { name: 'sha224', head: Buffer.from('302d300d06096086480165030402040500041c', 'hex') },
}

const XATTR_DIGSIG = 3
const XATTR_PORTABLE_DIGSIG = 5
const XATTR_VERITY_DIGSIG = 6
const HEADER_SIZE = 9

/** A `sig` field that is there and whose size field agrees with it. Anything else is no signature that a kernel wrote (policies A.3). */
export const isWellFormed = (signature: Buffer): boolean =>
  signature.length >= HEADER_SIZE && HEADER_SIZE + signature.readUInt16BE(7) === signature.length

/** Why a `sig` field is not well formed, for people. */
export const formDefect = (signature: Buffer): string =>
  signature.length < HEADER_SIZE
    ? `it has ${signature.length} bytes, and its header alone has ${HEADER_SIZE}`
    : `its header says ${signature.readUInt16BE(7)} bytes, and ${signature.length - HEADER_SIZE} are there`

/** Why a signature allows nothing. */
export interface SignatureDefect {
  /** Hex. */
  keyId: string
  reason: string
}

/** Of a signature that was found not to be good, for people. @returns null for a file without one. */
export function signatureDefect({ extra }: ImaEntry, rings: Iterable<Pick<KeyLookup, 'get'>>): SignatureDefect | null {
  if (!isWellFormed(extra)) return null
  const keyId = extra.toString('hex', 3, 7)
  const key = findKey(rings, extra.readUInt32BE(3))
  if (!key) return { keyId, reason: `it is signed by key ${keyId}, which the policy does not know` }
  const [size, made] = [extra.length - HEADER_SIZE, (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8]
  if (made > 0 && size !== made) return { keyId, reason: `its signature has ${size} bytes, and key ${keyId} makes signatures of ${made}` }
  return { keyId, reason: `its signature by key ${keyId} does not hold` }
}

/**
 * Whether the signature of an entry is good by a key of the rings; only the first ring that has the key id is asked (policies A.11). Version 2
 * signs the file's digest itself; version 3, for fs-verity, signs a hash over type, algorithm and digest.
 */
export function verifyFileSignature(
  entry: ImaEntry,
  rings: Iterable<Pick<KeyLookup, 'get'>>,
  verify: VerifyDigest = verifyDigest,
): boolean {
  const { extra: signature } = entry
  if (!isWellFormed(signature)) return false
  const [type, version] = [signature[0]!, signature[1]!]
  const hash = HASHES[signature[2]!]
  if (hash?.name !== entry.algorithm || entry.digest.length !== 2 * hash.head.at(-1)!) return false
  const digest = Buffer.from(entry.digest, 'hex')
  const key = findKey(rings, signature.readUInt32BE(3))
  if (!key) return false
  const bytes = signature.subarray(HEADER_SIZE)
  if (version === 2 && (type === XATTR_DIGSIG || type === XATTR_PORTABLE_DIGSIG))
    return entry.digestType === 'ima' && verify(key, signed(hash.head, digest), bytes)
  if (version !== 3 || type !== XATTR_VERITY_DIGSIG || entry.digestType !== 'verity') return false
  const fileId = hashOf(hash.name, Buffer.concat([Buffer.from([type, signature[2]!]), digest]), 'buffer')
  return verify(key, signed(hash.head, fileId), bytes)
}

const signed = (head: Buffer, digest: Buffer) => ({ digest, digestInfo: Buffer.concat([head, digest]) })

function findKey(rings: Iterable<Pick<KeyLookup, 'get'>>, id: number): KeyObject | undefined {
  for (const ring of rings) {
    const key = ring.get(id)
    if (key) return key
  }
  return undefined
}
