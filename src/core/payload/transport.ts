import { constants, createPublicKey, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto'
import { KeylimeError } from '../errors.ts'

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' } // upstream's wire (protocol 0)

/** A key share encrypted to the agent's transport key. @throws KeylimeError `malformed` when the PEM is no RSA public key that can encrypt. */
export function encryptShare(transportKeyPem: string, share: Uint8Array): string {
  const key = transportKey(transportKeyPem)
  try {
    return publicEncrypt({ key, ...OAEP }, share).toString('base64')
  } catch (cause) {
    throw new KeylimeError('malformed', 'nothing can be encrypted to the transport key', { cause }) // its numbers are those of no RSA key
  }
}

/** The share, or KeylimeError `decryption_failed`. Its length is not checked here. */
export function decryptShare(privateKey: KeyObject, text: string): Buffer {
  try {
    return privateDecrypt({ key: privateKey, ...OAEP }, Buffer.from(text, 'base64'))
  } catch (cause) {
    throw new KeylimeError('decryption_failed', 'the key share was not encrypted to this transport key', { cause })
  }
}

function transportKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (cause) {
    throw new KeylimeError('malformed', 'the transport key is not a PEM public key', { cause })
  }
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType !== 'rsa' || modulusLength < 2048)
    throw new KeylimeError('malformed', 'the transport key must be RSA of at least 2048 bits')
  if (publicExponent < 3n) throw new KeylimeError('malformed', 'the transport key encrypts nothing: its exponent is below 3')
  return key
}
