import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { spkiOf } from '../spki.ts'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** `rsa` with a length in bits, public exponent 65537; `ecdsa` on P-256. */
export type KeyKind = { readonly type: 'rsa'; readonly bits: number } | { readonly type: 'ecdsa' }

/** A new key pair, made on the thread pool. */
export function makeKeyPair(kind: KeyKind): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) =>
      error ? reject(error) : resolve({ publicKey, privateKey })
    if (kind.type === 'rsa') generateKeyPair('rsa', { modulusLength: kind.bits, publicExponent: 65_537 }, done)
    else generateKeyPair('ec', { namedCurve: 'prime256v1' }, done)
  })
}

/** PKCS#8 PEM; with a password encrypted by PBES2 with AES-256-CBC, as upstream does. */
export function privateKeyPem(key: KeyObject, password = ''): string {
  const protection = password === '' ? {} : { cipher: 'aes-256-cbc', passphrase: password }
  return key.export({ format: 'pem', type: 'pkcs8', ...protection }) as string
}

/** SubjectPublicKeyInfo PEM. */
export const publicKeyPem = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' }) as string

/**
 * Whether two public keys are one and the same. Not by `KeyObject.equals`: for keys of different types that leaves an error in
 * OpenSSL's queue, and the next private key that this thread reads is refused for it.
 */
export const sameKey = (a: KeyObject, b: KeyObject): boolean => a === b || spkiOf(a).equals(spkiOf(b))

/** The key of a PEM text. @throws KeylimeError `wrong_password` when it is encrypted and the password does not open it, else `malformed`. */
export function readPrivateKey(pem: string, password = ''): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem', ...(password === '' ? {} : { passphrase: password }) })
  } catch (cause) {
    const encrypted = pem.includes('ENCRYPTED')
    throw encrypted
      ? new KeylimeError(
          'wrong_password',
          password === '' ? 'the private key needs a password' : 'the password does not open the private key',
          { cause },
        )
      : new KeylimeError('malformed', 'the private key cannot be read', { cause })
  }
}
