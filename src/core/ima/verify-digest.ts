import { constants, type KeyObject, publicDecrypt } from 'node:crypto'
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
