import { createPrivateKey, createPublicKey } from 'node:crypto'
import { KeylimeError } from '../../core/errors.ts'
import { computedKeyId, type ImaKey, type Keyring, readImaKey } from '../../core/ima/keyring.ts'
import { readFile } from '../../io/files/read-file.ts'

/** Keys that verify file signatures: certificates, public keys, and private ones, whose public half is taken. @throws KeylimeError `invalid_request`. */
export async function readImaKeys(files: readonly string[]): Promise<Keyring> {
  const keyring = new Map<number, ImaKey['key']>()
  for (const file of files) {
    const bytes = await readFile(file)
    const found = readImaKey(bytes) ?? publicHalf(bytes)
    if (found === null || found === 'unsupported')
      throw new KeylimeError('invalid_request', `${file} is neither a certificate nor a key that verifies file signatures`, {
        hint: 'RSA, P-256, P-384, P-521 or secp256k1, as PEM or DER',
      })
    keyring.set(found.id, found.key)
  }
  return keyring
}

function publicHalf(bytes: Buffer): ImaKey | null {
  try {
    const key = createPublicKey(createPrivateKey(bytes))
    return { id: computedKeyId(key), key }
  } catch {
    return null // neither a private key
  }
}
