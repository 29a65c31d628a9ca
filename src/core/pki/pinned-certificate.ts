import { ownCopy } from '../own-copy.ts'
import { derOfText } from './certificate.ts'
import { childrenOf, expectTag, readElement, readTime, TAG } from './der.ts'

/** What a peer is known by whose certificate is pinned. */
export interface PinnedCertificate {
  /** SubjectPublicKeyInfo, DER, as it stands in the certificate; in memory of its own. */
  readonly spki: Buffer
  /** Milliseconds since the epoch, both included. */
  readonly notBefore: number
  readonly notAfter: number
}

/**
 * Reads of an X.509 certificate, DER or PEM, only what a pin needs (RFC 5280, section 4.1): a verifier reads thousands at its start, and OpenSSL would take ten times as long for the
 * key alone. A key that cannot be used shows when a connection is made. @throws KeylimeError `malformed`.
 */
export function readPinned(certificate: string | Uint8Array): PinnedCertificate {
  const der = typeof certificate === 'string' ? derOfText(certificate) : Buffer.from(certificate)
  const [tbs] = childrenOf(expectTag(readElement(der), TAG.sequence, 'the certificate'))
  const fields = childrenOf(expectTag(tbs, TAG.sequence, 'the signed part'))
  const first = fields[0]?.tag === VERSION ? 1 : 0
  const [notBefore, notAfter] = childrenOf(expectTag(fields[first + 3], TAG.sequence, 'the validity')).map(readTime)
  const spki = expectTag(fields[first + 5], TAG.sequence, 'the public key')
  return { spki: ownCopy(spki.bytes), notBefore: notBefore ?? Number.NaN, notAfter: notAfter ?? Number.NaN }
}

/** `[0]`, which certificates of version 1 leave out. */
const VERSION = 0xa0
