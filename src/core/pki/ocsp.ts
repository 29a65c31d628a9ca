import { createHash } from 'node:crypto'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import { keyBitsOf, signatureOf } from './authority-signature.ts'
import { REVOCATION_REASONS, type RevocationReason } from './crl.ts'
import { childrenOf, type DerElement, expectTag, readElement, readInteger, readOid, TAG } from './der.ts'
import { der, derEnumerated, derExplicit, derOctets, derOid, derSequence, derTime } from './der-writer.ts'
import type { Authority } from './issue.ts'
import { hashOf, type SignatureAlgorithm } from './signature-algorithm.ts'
import type { Certificate } from './types.ts'

/** Which certificate is asked for: hashes of its issuer's name and key, and its serial (RFC 6960, section 4.1.1). */
export interface CertId {
  readonly hash: SignatureAlgorithm['hash'] | undefined
  readonly nameHash: Buffer
  readonly keyHash: Buffer
  readonly serial: bigint
  /** As it stands in the request: the answer repeats it. */
  readonly bytes: Buffer
}

export interface OcspRequest {
  readonly certificates: readonly CertId[]
  /** Value of the nonce extension; the answer repeats it (RFC 8954). */
  readonly nonce: Buffer | undefined
}

export type OcspStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly date: number; readonly reason?: RevocationReason | undefined }
  | { readonly kind: 'unknown' }

/** RFC 6960, section 4.2.1: what an answer without a status says. */
export const OCSP_ERRORS = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const

const MAX_CERTIFICATES = 64
const MAX_NONCE = 130
const BASIC_RESPONSE = '1.3.6.1.5.5.7.48.1.1'
const NONCE = '1.3.6.1.5.5.7.48.1.2'

/** @throws KeylimeError `malformed`, also for over 64 certificates. A signature of the request is not looked at: anybody may ask. */
export function parseOcspRequest(bytes: Buffer): OcspRequest {
  const outer = expectTag(readElement(bytes), TAG.sequence, 'the OCSP request')
  if (outer.bytes.length !== bytes.length) throw new KeylimeError('malformed', 'bytes follow the OCSP request')
  const fields = childrenOf(expectTag(childrenOf(outer)[0], TAG.sequence, 'the OCSP request'))
  const list = childrenOf(
    expectTag(
      fields.find(({ tag }) => tag === TAG.sequence),
      TAG.sequence,
      'the list of certificates',
    ),
  )
  if (list.length === 0 || list.length > MAX_CERTIFICATES) {
    throw new KeylimeError('malformed', `an OCSP request must ask for 1 to ${MAX_CERTIFICATES} certificates`)
  }
  return { certificates: list.map(readCertId), nonce: nonceOf(fields.find(({ tag }) => tag === 0xa2)) }
}

function readCertId(request: DerElement): CertId {
  const id = expectTag(childrenOf(expectTag(request, TAG.sequence, 'a request'))[0], TAG.sequence, 'the id of a certificate')
  const [algorithm, nameHash, keyHash, serial] = childrenOf(id)
  return {
    hash: hashOf(expectTag(algorithm, TAG.sequence, 'the hash algorithm')),
    nameHash: expectTag(nameHash, TAG.octetString, 'the hash of the issuer’s name').content,
    keyHash: expectTag(keyHash, TAG.octetString, 'the hash of the issuer’s key').content,
    serial: readInteger(serial),
    bytes: id.bytes,
  }
}

function nonceOf(extensions: DerElement | undefined): Buffer | undefined {
  if (!extensions) return undefined
  for (const extension of childrenOf(expectTag(childrenOf(extensions)[0], TAG.sequence, 'the extensions'))) {
    const parts = childrenOf(extension)
    if (!parts[0] || readOid(parts[0]) !== NONCE) continue
    const value = expectTag(parts.at(-1), TAG.octetString, 'the nonce').content
    if (value.length === 0 || value.length > MAX_NONCE) throw new KeylimeError('malformed', `the nonce has ${value.length} bytes`)
    return value
  }
  return undefined
}

/**
 * Answers a request, signed by the authority's own key. A certificate of another issuer is `unknown`; when all are, the answer is `unauthorized`.
 * There is no nextUpdate: newer information is there at any time.
 * @param request DER as received. @param statusOf a serial of this authority. @param now milliseconds since the epoch.
 */
export function answerOcsp(authority: Authority, request: Buffer, statusOf: (serial: bigint) => OcspStatus, now: number): Buffer {
  let parsed: OcspRequest
  try {
    parsed = parseOcspRequest(request)
  } catch (error) {
    if (isKeylimeError(error)) return ocspError('malformedRequest')
    throw error
  }
  const ours = parsed.certificates.map((id) => isIssuedBy(id, authority.certificate))
  if (!ours.includes(true)) return ocspError('unauthorized')
  const singles = parsed.certificates.map((id, i) =>
    derSequence(id.bytes, encodeStatus(ours[i] ? statusOf(id.serial) : { kind: 'unknown' }), derTime(now)),
  )
  const { nonce } = parsed
  const data = derSequence(
    derExplicit(2, derOctets(createHash('sha1').update(keyBitsOf(authority.certificate)).digest())),
    derTime(now),
    derSequence(...singles),
    ...(nonce ? [derExplicit(1, derSequence(derSequence(derOid(NONCE), derOctets(nonce))))] : []),
  )
  const signature = signatureOf(authority)
  const basic = derSequence(data, signature.algorithm, signature.sign(data))
  return derSequence(derEnumerated(0), derExplicit(0, derSequence(derOid(BASIC_RESPONSE), derOctets(basic))))
}

/** An answer that gives no status; it is not signed. */
export const ocspError = (error: keyof typeof OCSP_ERRORS): Buffer => derSequence(derEnumerated(OCSP_ERRORS[error]))

function isIssuedBy({ hash, nameHash, keyHash }: CertId, issuer: Certificate): boolean {
  if (!hash) return false
  const digest = (bytes: Buffer) => createHash(hash).update(bytes).digest()
  return digest(issuer.subjectName.der).equals(nameHash) && digest(keyBitsOf(issuer)).equals(keyHash)
}

function encodeStatus(status: OcspStatus): Buffer {
  if (status.kind === 'good') return der(0x80)
  if (status.kind === 'unknown') return der(0x82)
  const { date, reason } = status
  const why = reason && reason !== 'unspecified' ? [derExplicit(0, derEnumerated(REVOCATION_REASONS[reason]))] : []
  return derExplicit(1, derTime(date), ...why)
}
