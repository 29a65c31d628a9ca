import { constants, type KeyObject, publicDecrypt } from 'node:crypto'
import type { Effort } from '../concurrency/effort.ts'
import { verifyDigestEcdsa } from './ecdsa.ts'
import { verifiesFiles } from './keyring.ts'

/** A digest that somebody else computed, in the form that each kind of key signs. */
export interface SignedDigest {
  /** What ECDSA signs. */
  digest: Buffer
  /** What RSA signs with PKCS#1 v1.5: the digest in its DER DigestInfo. */
  digestInfo: Buffer
}

/**
 * Whether a signature of a digest is good by a key that `readImaKey` gave. There are two: this one, which runs everywhere, and that of the native addon, which
 * takes the time of the bare check and not a hundred times as much.
 */
export type VerifyDigest = (key: KeyObject, signed: SignedDigest, signature: Buffer) => boolean

export const verifyDigest: VerifyDigest = (key, { digest, digestInfo }, signature) => {
  if (!verifiesFiles(key)) return false
  if (key.asymmetricKeyType === 'ec') return verifyDigestEcdsa(key, digest, signature)
  try {
    return publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature).equals(digestInfo)
  } catch {
    return false // OpenSSL's word for a signature that is not of this key
  }
}

/** Microseconds of OpenSSL, reading the key included, on a slow machine. */
const CURVE_COST: Record<string, number | undefined> = { prime256v1: 250, secp256k1: 700, secp384r1: 1200, secp521r1: 2500 }
const RSA_COST = 250
const UNUSUAL_COST = 50_000

/** The same check, reckoned before it is made. */
export const withEffort =
  (verify: VerifyDigest, effort: Effort): VerifyDigest =>
  (key, signed, signature) => {
    effort.spend(costOf(key))
    return verify(key, signed, signature)
  }

/** A public exponent may be as large as the modulus: then the check costs as much as signing. */
function costOf({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): number {
  if (asymmetricKeyType === 'ec') return CURVE_COST[details?.namedCurve ?? ''] ?? UNUSUAL_COST
  return (details?.modulusLength ?? Infinity) <= 4096 && (details?.publicExponent ?? 0n) <= 0x1_0001n ? RSA_COST : UNUSUAL_COST
}
