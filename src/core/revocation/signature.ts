import { constants, createHash, type KeyObject, sign, verify } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { parseRevocationMessage, type RevocationMessage } from './message.ts'

declare const verified: unique symbol

/** A message whose signature holds. Only `verifyRevocation` makes one; actions and CAs accept nothing else. */
export interface VerifiedRevocation {
  readonly [verified]: true
  /** The signed text as it was received. */
  readonly text: string
  readonly message: RevocationMessage
  /** SHA-256 of the text, hex: the same message is acted upon once. */
  readonly digest: string
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_MAX_SIGN }
const MAX_TEXT = 1 << 20

/** RSASSA-PSS with SHA-256 and the longest salt, base64 (protocol 6.2). */
export const signRevocation = (key: KeyObject, text: string): string =>
  sign('sha256', Buffer.from(text, 'utf8'), { key, ...PSS }).toString('base64')

/**
 * Verifies a notification over the bytes received, then reads it.
 * @param key of the RevocationNotifier's certificate.
 * @throws KeylimeError `refused` for a missing or wrong signature, `malformed` for a message that cannot be read.
 */
export function verifyRevocation(key: KeyObject, text: string, signature: string): VerifiedRevocation {
  if (text.length > MAX_TEXT) throw new KeylimeError('refused', `the notification has ${text.length} characters`)
  if (signature === '' || signature === 'none')
    throw new KeylimeError('refused', 'the notification is not signed', { hint: 'agents added without --cert have no key to sign with' })
  if (key.asymmetricKeyType !== 'rsa') throw new KeylimeError('refused', 'the notifier’s key is not RSA')
  const bytes = Buffer.from(text, 'utf8')
  if (!holds(key, bytes, Buffer.from(signature, 'base64')))
    throw new KeylimeError('refused', 'the signature of the notification does not hold')
  const message = parseRevocationMessage(text)
  return { text, message, digest: createHash('sha256').update(bytes).digest('hex') } as unknown as VerifiedRevocation
}

function holds(key: KeyObject, bytes: Buffer, signature: Buffer): boolean {
  try {
    return verify('sha256', bytes, { key, ...PSS }, signature)
  } catch {
    return false
  }
}
