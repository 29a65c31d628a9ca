import { createCipheriv, createDecipheriv } from 'node:crypto'
import { KeylimeError } from '../errors.ts'

const IV_SIZE = 16
const TAG_SIZE = 16

/**
 * AES-GCM with a 16-byte IV and no additional data: base64(IV, ciphertext, tag), upstream's form of a payload and of `private.yml` (protocol 3.2.1).
 * @param iv 16 bytes, never used before with this key.
 */
export function sealPayload(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): string {
  if (iv.length !== IV_SIZE) throw new KeylimeError('malformed', `IV of ${iv.length} bytes, 16 are needed`)
  const cipher = createCipheriv(cipherFor(key), key, iv)
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return Buffer.concat([iv, body, cipher.getAuthTag()]).toString('base64')
}

/** The plaintext of a sealed payload. @throws KeylimeError `decryption_failed`: wrong key, or bytes that were changed. */
export function openPayload(key: Uint8Array, text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length < IV_SIZE + TAG_SIZE) throw new KeylimeError('decryption_failed', `sealed text of ${bytes.length} bytes is too short`)
  const decipher = createDecipheriv(cipherFor(key), key, bytes.subarray(0, IV_SIZE), { authTagLength: TAG_SIZE })
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_SIZE))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(IV_SIZE, bytes.length - TAG_SIZE)), decipher.final()])
  } catch (cause) {
    throw new KeylimeError('decryption_failed', 'the sealed text does not open with this key: wrong key, or the text was changed', {
      cause,
    })
  }
}

function cipherFor(key: Uint8Array): 'aes-128-gcm' | 'aes-256-gcm' {
  if (key.length === 16) return 'aes-128-gcm'
  if (key.length === 32) return 'aes-256-gcm'
  throw new KeylimeError('malformed', `key of ${key.length} bytes, 16 or 32 are needed`)
}
