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

/** Whether a signature is one of this key: nothing is read, and nobody acts on it. */
export const isSignedBy = (key: KeyObject, text: string, signature: string): boolean =>
  isSigned(signature) && holds(key, Buffer.from(text, 'utf8'), Buffer.from(signature, 'base64'))

/**
 * Verifies a notification over the bytes received, then reads it.
 * @param key of the RevocationNotifier's certificate.
 * @throws KeylimeError `refused` for a missing or wrong signature, `malformed` for a message that cannot be read.
 */
export function verifyRevocation(key: KeyObject, text: string, signature: string): VerifiedRevocation {
  if (text.length > MAX_TEXT) throw new KeylimeError('refused', `the notification has ${text.length} characters`)
  if (!isSigned(signature)) throw new KeylimeError('refused', 'the notification is not signed', { hint: UNSIGNED })
  if (key.asymmetricKeyType !== 'rsa') throw new KeylimeError('refused', 'the notifier’s key is not RSA')
  const bytes = Buffer.from(text, 'utf8')
  if (!holds(key, bytes, Buffer.from(signature, 'base64')))
    throw new KeylimeError('refused', 'the signature of the notification does not hold')
  const message = parseRevocationMessage(text)
  return { text, message, digest: createHash('sha256').update(bytes).digest('hex') } as unknown as VerifiedRevocation
}

/** Keys of notifiers that a receiver knows; each may be missing. */
export interface NotifierKeys {
  /** Of the certificate that came with a payload, or that the configuration names. */
  readonly payload: KeyObject | null
  /** Of the verifier itself. */
  readonly verifier: KeyObject | null
}

export interface SignedNotice {
  readonly msg: string
  readonly signature: string
  /** By the verifier's own key, beside the one of the enrolment; undefined when there is one signature only. */
  readonly verifierSignature?: string | undefined
}

/**
 * Verifies with whichever known key fits. @returns null when the only key that could fit has not come yet.
 * @throws KeylimeError as `verifyRevocation`.
 */
export function verifyNotice(
  { payload, verifier }: NotifierKeys,
  { msg, signature, verifierSignature }: SignedNotice,
): VerifiedRevocation | null {
  if (!isSigned(signature) && !isSigned(verifierSignature))
    throw new KeylimeError('refused', 'the notification is not signed', { hint: UNSIGNED })
  const tries = [
    [verifier, verifierSignature],
    [payload, signature],
    [verifier, signature],
  ] as const
  const possible = tries.flatMap(([key, text]) => (key && isSigned(text) ? [[key, text] as const] : []))
  let refused: unknown
  for (const [key, text] of possible) {
    try {
      return verifyRevocation(key, msg, text)
    } catch (error) {
      refused ??= error
    }
  }
  const mayComeLater = !payload && !(verifier && verifierSignature !== undefined)
  if (mayComeLater) return null
  throw refused ?? new KeylimeError('refused', 'no known key matches a signature of the notification')
}

const isSigned = (signature: string | undefined): signature is string => signature !== undefined && signature !== '' && signature !== 'none'

const UNSIGNED = 'upstream’s verifiers do not sign notices about agents that were added without --cert'

function holds(key: KeyObject, bytes: Buffer, signature: Buffer): boolean {
  try {
    return verify('sha256', bytes, { key, ...PSS }, signature)
  } catch {
    return false
  }
}
