import { createHash } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { keyBitsOf, signatureOf } from './authority-signature.ts'
import { childrenOf, type DerElement, expectTag, readBitString, readElement, readInteger, readOid, readTime, TAG } from './der.ts'
import { der, derDate, derEnumerated, derExplicit, derInteger, derOctets, derOid, derSequence } from './der-writer.ts'
import { EXTENSION } from './extensions.ts'
import type { Authority } from './issue.ts'
import { isSignatureRight, parseSignatureAlgorithm } from './signature-algorithm.ts'
import type { Certificate } from './types.ts'

/** RFC 5280, section 5.3.1, by name; the value is the wire's number. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const

export type RevocationReason = keyof typeof REVOCATION_REASONS

export interface Revocation {
  readonly serial: bigint
  /** Milliseconds since the epoch. */
  readonly date: number
  readonly reason?: RevocationReason
}

export interface RevocationList {
  readonly der: Buffer
  /** Undefined in lists of upstream, which have no number. */
  readonly number: bigint | undefined
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
  readonly revoked: readonly Revocation[]
}

export interface CrlRequest {
  readonly number: bigint
  readonly thisUpdate: number
  readonly nextUpdate: number
  readonly revoked: readonly Revocation[]
}

const REASON_CODE = '2.5.29.21'

/**
 * A CRL of version 2 with number and issuer's key id (RFC 5280, section 5), DER. The dates of the entries are kept as given. Written here, as the library looks for each entry among all others:
 * a minute for the list of a fleet.
 */
export function makeCrl(authority: Authority, request: CrlRequest): Buffer {
  const { algorithm, sign } = signatureOf(authority)
  const { subjectName } = authority.certificate
  const keyId = createHash('sha1').update(keyBitsOf(authority.certificate)).digest()
  const tbs = derSequence(
    derInteger(1n),
    algorithm,
    subjectName.der,
    derDate(request.thisUpdate),
    derDate(request.nextUpdate),
    ...(request.revoked.length > 0 ? [derSequence(...request.revoked.map(derEntry))] : []),
    derExplicit(
      0,
      derSequence(
        derExtension(EXTENSION.authorityKeyIdentifier, derSequence(der(0x80, keyId))),
        derExtension(EXTENSION.crlNumber, derInteger(request.number)),
      ),
    ),
  )
  return derSequence(tbs, algorithm, sign(tbs))
}

function derEntry({ serial, date, reason }: Revocation): Buffer {
  const why = reason && reason !== 'unspecified' ? [derExtension(REASON_CODE, derEnumerated(REVOCATION_REASONS[reason]))] : [] // RFC 5280: leave "unspecified" out
  return derSequence(derInteger(serial), derDate(date), ...why.map((extension) => derSequence(extension)))
}

const derExtension = (oid: string, value: Uint8Array): Buffer => derSequence(derOid(oid), derOctets(value))

/** Reads a CRL; upstream's, without any extension, too. Its signature is not looked at. @throws KeylimeError `malformed`. */
export function parseCrl(der: Buffer): RevocationList {
  const fields = childrenOf(tbsOf(der).tbs)
  if (fields[0]?.tag === TAG.integer) fields.shift()
  const [, , thisUpdate, ...rest] = fields
  const nextUpdate = rest[0] && rest[0].tag !== TAG.sequence && rest[0].tag !== 0xa0 ? rest.shift() : undefined
  const entries = rest[0]?.tag === TAG.sequence ? rest.shift() : undefined
  const number = extensionsOf(rest[0] ? childrenOf(rest[0])[0] : undefined).get(EXTENSION.crlNumber)
  return {
    der,
    number: number ? readInteger(readElement(number)) : undefined,
    thisUpdate: readTime(thisUpdate),
    nextUpdate: nextUpdate ? readTime(nextUpdate) : undefined,
    revoked: entries ? childrenOf(entries).map(readEntry) : [],
  }
}

const PEM = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----/g

/** All lists of a file: one DER, or any number of PEM blocks. @throws KeylimeError `malformed`, also when there is none. */
export function parseCrls(bytes: Buffer): RevocationList[] {
  if (bytes[0] === 0x30) return [parseCrl(bytes)]
  const blocks = [...bytes.toString('latin1').matchAll(PEM)].map((block) => parseCrl(Buffer.from(block[1] ?? '', 'base64')))
  if (blocks.length === 0) throw new KeylimeError('malformed', 'it holds no revocation list')
  return blocks
}

/** The CRL was signed by this authority. */
export function isCrlSignedBy(der: Buffer, issuer: Certificate): boolean {
  const { tbs, algorithm, signature } = tbsOf(der)
  const known = parseSignatureAlgorithm(algorithm)
  return known !== undefined && isSignatureRight(known, issuer.publicKey, tbs.bytes, signature)
}

function tbsOf(der: Buffer): { tbs: DerElement; algorithm: DerElement; signature: Buffer } {
  const [tbs, algorithm, signature] = childrenOf(expectTag(readElement(der), TAG.sequence, 'the revocation list'))
  if (!algorithm) throw new KeylimeError('malformed', 'the revocation list is not signed')
  return { tbs: expectTag(tbs, TAG.sequence, 'the revocation list'), algorithm, signature: readBitString(signature) }
}

function readEntry(element: DerElement): Revocation {
  const [serial, date, extensions] = childrenOf(element)
  const code = extensionsOf(extensions).get(REASON_CODE)?.at(-1)
  const reason = Object.entries(REVOCATION_REASONS).find(([, value]) => value === code)?.[0] as RevocationReason | undefined
  return { serial: readInteger(serial), date: readTime(date), ...(reason ? { reason } : {}) }
}

function extensionsOf(sequence: DerElement | undefined): Map<string, Buffer> {
  if (!sequence) return new Map()
  return new Map(
    childrenOf(sequence).map((element) => {
      const parts = childrenOf(element)
      return [readOid(expectTag(parts[0], TAG.oid, 'an extension')), expectTag(parts.at(-1), TAG.octetString, 'an extension').content]
    }),
  )
}
