import 'reflect-metadata'
import { type KeyObject, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { KeylimeError } from '../errors.ts'

x509.cryptoProvider.set(webcrypto as never)

/** @peculiar/x509, ready to use. Nothing outside of this folder knows it; it is loaded only when something is issued, because it takes a while. */
export { x509 }

export type X509 = typeof x509

const CURVES: Record<string, string> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }
const HASHES: Record<string, string> = { 'P-256': 'SHA-256', 'P-384': 'SHA-384', 'P-521': 'SHA-512' }

/** A private key in the library's form, with the signature algorithm that goes with it: RSA with SHA-256 as upstream, ECDSA with the hash of its curve. */
export function signerOf(key: KeyObject): { signingKey: never; signingAlgorithm: never } {
  const { name, algorithm } = importAlgorithm(key)
  const signingKey = key.toCryptoKey(algorithm as never, false, ['sign'])
  return { signingKey: signingKey as never, signingAlgorithm: name as never }
}

function importAlgorithm(key: KeyObject): { name: object; algorithm: object } {
  if (key.asymmetricKeyType === 'rsa') {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    return { name: algorithm, algorithm }
  }
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (key.asymmetricKeyType !== 'ec' || !curve)
    throw new KeylimeError('malformed', `a key of type ${key.asymmetricKeyType} cannot sign certificates here`)
  return { name: { name: 'ECDSA', hash: HASHES[curve] }, algorithm: { name: 'ECDSA', namedCurve: curve } }
}
