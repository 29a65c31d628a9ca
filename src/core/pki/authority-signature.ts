import { sign } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { childrenOf, readBitString, readElement } from './der.ts'
import { derBits, derNull, derOid, derSequence } from './der-writer.ts'
import type { Authority } from './issue.ts'
import type { Certificate } from './types.ts'

const ECDSA: Record<string, readonly [hash: string, oid: string]> = {
  prime256v1: ['sha256', '1.2.840.10045.4.3.2'],
  secp384r1: ['sha384', '1.2.840.10045.4.3.3'],
  secp521r1: ['sha512', '1.2.840.10045.4.3.4'],
}

/** How an authority signs what has many entries, and so does not go through the library. */
export interface AuthoritySignature {
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Buffer
  /** @returns BIT STRING, DER. */
  sign(data: Buffer): Buffer
}

/** @throws KeylimeError `malformed` for a key of another kind. */
export function signatureOf({ key }: Authority): AuthoritySignature {
  const [hash, algorithm] = algorithmOf(key)
  return { algorithm, sign: (data) => derBits(sign(hash, data, key)) }
}

function algorithmOf(key: Authority['key']): readonly [hash: string, algorithm: Buffer] {
  if (key.asymmetricKeyType === 'rsa') return ['sha256', derSequence(derOid('1.2.840.113549.1.1.11'), derNull())]
  const [hash, oid] = ECDSA[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? []
  if (!hash || !oid) throw new KeylimeError('malformed', `a key of type ${key.asymmetricKeyType} cannot sign for an authority here`)
  return [hash, derSequence(derOid(oid))]
}

/** The public key without algorithm, as hashes of it take it. */
export const keyBitsOf = (certificate: Certificate): Buffer => readBitString(childrenOf(readElement(certificate.spki))[1])
