import { constants, type KeyObject, verify } from 'node:crypto'
import { childrenOf, type DerElement, expectTag, readInteger, readOid, TAG } from './der.ts'

export interface SignatureAlgorithm {
  readonly scheme: 'rsassa' | 'rsapss' | 'ecdsa' | 'eddsa'
  readonly hash: 'sha1' | 'sha256' | 'sha384' | 'sha512' | null
  /** RSASSA-PSS only, bytes. */
  readonly saltLength?: number
}

const RSASSA_PSS = '1.2.840.113549.1.1.10'

const FIXED: Record<string, SignatureAlgorithm> = {
  '1.2.840.113549.1.1.5': { scheme: 'rsassa', hash: 'sha1' },
  '1.2.840.113549.1.1.11': { scheme: 'rsassa', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { scheme: 'rsassa', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { scheme: 'rsassa', hash: 'sha512' },
  '1.2.840.10045.4.1': { scheme: 'ecdsa', hash: 'sha1' },
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'sha256' },
  '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { scheme: 'ecdsa', hash: 'sha512' },
  '1.3.101.112': { scheme: 'eddsa', hash: null },
}

const HASHES: Record<string, 'sha1' | 'sha256' | 'sha384' | 'sha512'> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/** The algorithm of an AlgorithmIdentifier, or undefined when it is none that we accept (MD5, DSA, SM2 …). */
export function parseSignatureAlgorithm(element: DerElement): SignatureAlgorithm | undefined {
  const [oid, parameters] = childrenOf(expectTag(element, TAG.sequence, 'a signature algorithm'))
  if (!oid) return undefined
  const name = readOid(oid)
  return name === RSASSA_PSS ? pssParameters(parameters) : FIXED[name]
}

/** The signature over exactly `data` is right for this key. A key of another kind than the algorithm says is a wrong signature, not an error. */
export function isSignatureRight(algorithm: SignatureAlgorithm, key: KeyObject, data: Buffer, signature: Buffer): boolean {
  const kind = key.asymmetricKeyType
  const fits = { rsassa: kind === 'rsa', rsapss: kind === 'rsa' || kind === 'rsa-pss', ecdsa: kind === 'ec', eddsa: kind === 'ed25519' }
  if (!fits[algorithm.scheme]) return false
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: algorithm.saltLength ?? constants.RSA_PSS_SALTLEN_AUTO }
  try {
    return verify(algorithm.hash, data, algorithm.scheme === 'rsapss' ? { key, ...padding } : key, signature) // a key alone is taken as one at once
  } catch {
    return false // OpenSSL throws for signatures that cannot be of this key
  }
}

/** RFC 4055, section 3.1: hash [0] (default SHA-1), mask generation [1], salt length [2] (default 20). The mask must use the same hash. */
function pssParameters(element: DerElement | undefined): SignatureAlgorithm | undefined {
  const parts = new Map(element?.tag === TAG.sequence ? childrenOf(element).map((part) => [part.tag, childrenOf(part)[0]]) : [])
  const hash = hashOf(parts.get(0xa0))
  const mask = parts.get(0xa1)
  const maskHash = mask ? hashOf(childrenOf(mask)[1]) : 'sha1'
  const salt = parts.get(0xa2)
  if (hash === undefined || hash !== maskHash) return undefined
  return { scheme: 'rsapss', hash, saltLength: salt ? Number(readInteger(salt)) : 20 }
}

/** Hash of an AlgorithmIdentifier, SHA-1 when there is none; undefined for one that we do not know. */
export function hashOf(algorithm: DerElement | undefined): SignatureAlgorithm['hash'] | undefined {
  if (!algorithm) return 'sha1'
  const [oid] = childrenOf(algorithm)
  return oid ? HASHES[readOid(oid)] : undefined
}
