import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { preAuthEncoding } from './signed-policy.ts'

const PAYLOAD_TYPE = 'application/vnd.keylime+json'

/** @param pem of a private EC key. @throws KeylimeError `invalid_request` for another key. */
export function readSigningKey(pem: string | Buffer): KeyObject {
  let key: KeyObject | null = null
  try {
    key = createPrivateKey(pem)
  } catch {
    // told below
  }
  if (key?.asymmetricKeyType === 'ec') return key
  throw new KeylimeError('invalid_request', 'the key is not the PEM of a private EC key', {
    hint: 'openssl ecparam -name prime256v1 -genkey -noout -out key.pem',
  })
}

/** Key id of upstream's `ecdsa` back end: SHA-256 of the public key's PEM (policies A.16). */
export function ecdsaKeyId(key: KeyObject): string {
  const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' })
  return createHash('sha256').update(pem).digest('hex')
}

/** Key id of upstream's `x509` back end: base64 of the certificate's PEM. */
export const x509KeyId = (certificatePem: string): string => Buffer.from(certificatePem).toString('base64')

/** The envelope of a policy (DSSE), signed with ECDSA and SHA-256, the same for both back ends. */
export function signPolicy(policy: string | Buffer, key: KeyObject, keyid: string): string {
  const payload = Buffer.from(policy)
  const sig = sign('sha256', preAuthEncoding(PAYLOAD_TYPE, payload), key).toString('base64')
  return JSON.stringify({ payload: payload.toString('base64'), payloadType: PAYLOAD_TYPE, signatures: [{ keyid, sig }] })
}
