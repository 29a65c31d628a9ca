import type { KeyObject } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { parseCertificate } from './certificate.ts'
import type { X509 } from './library.ts'
import type { NameAttribute } from './names.ts'
import { GIVES_ROLES, type Role, roleName, SUCCESSOR } from './roles.ts'
import type { Certificate } from './types.ts'

export interface HostName {
  readonly type: 'dns' | 'ip'
  readonly value: string
}

/** Milliseconds since the epoch; both are in the certificate to the second. */
export interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

export interface Authority {
  readonly certificate: Certificate
  readonly key: KeyObject
}

export interface AuthorityRequest extends Validity {
  /** Or the DER of a name that is kept as it is. */
  readonly subject: readonly NameAttribute[] | Buffer
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly serial: bigint
  /** URL of the revocation list; empty: none. */
  readonly crlUrl: string
  /** False: what it issues is all the same, as with upstream's. */
  readonly givesRoles: boolean
}

export interface CertificateRequest extends Validity {
  /** Or the DER of a name that is kept as it is. */
  readonly subject: readonly NameAttribute[] | Buffer
  readonly publicKey: KeyObject
  readonly serial: bigint
  readonly alternativeNames: readonly HostName[]
  readonly crlUrl: string
  /** Without one it is good for server and client alike, as upstream's, but calls no server of ours (decision 49). */
  readonly role?: Role | undefined
}

const NETSCAPE_COMMENT = '2.16.840.1.113730.1.13'
const PRINTABLE = new Set(['2.5.4.5', '2.5.4.6', '2.5.4.46'])

/** A self-signed CA certificate with the extensions of upstream's (protocol 7.4): CA:TRUE, keyCertSign and cRLSign, both key ids, CRL address; and whether it gives roles. */
export async function makeAuthority(request: AuthorityRequest): Promise<Certificate> {
  const { x509 } = await import('./library.ts')
  const keyId = await x509.SubjectKeyIdentifierExtension.create(spkiBytes(request.publicKey))
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
  const extensions = [
    new x509.BasicConstraintsExtension(true, undefined, true),
    keyId,
    ...(request.givesRoles ? [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: GIVES_ROLES }])] : []),
    ...crlAddress(x509, request.crlUrl),
    new x509.KeyUsagesExtension(usage, true),
    await x509.AuthorityKeyIdentifierExtension.create(spkiBytes(request.publicKey)),
  ]
  const name = nameOf(x509, request.subject)
  return build({ ...request, key: request.privateKey, issuer: name, extensions })
}

/**
 * An authority's key, signed by the one before: who believes that one may believe this one. It says what it is (`SUCCESSOR`): no other certificate of an
 * authority, such as one in between, is taken for the word that another root takes its place.
 */
export async function makeBridge(before: Authority, request: Omit<AuthorityRequest, 'privateKey'>): Promise<Certificate> {
  const { x509 } = await import('./library.ts')
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
  const extensions = [
    new x509.BasicConstraintsExtension(true, undefined, true),
    await x509.SubjectKeyIdentifierExtension.create(spkiBytes(request.publicKey)),
    new x509.SubjectAlternativeNameExtension([
      { type: 'url', value: SUCCESSOR },
      ...(request.givesRoles ? [{ type: 'url' as const, value: GIVES_ROLES }] : []),
    ]),
    new x509.KeyUsagesExtension(usage, true),
    await x509.AuthorityKeyIdentifierExtension.create(before.certificate.spki as never),
  ]
  return build({ ...request, key: before.key, issuer: new x509.Name(before.certificate.subjectName.der as never), extensions })
}

/**
 * A certificate for server and client alike, as upstream's CA makes them (protocol 7.4): alternative names, CRL address, issuer's key id, no key usage. One
 * with a role is for that side only: extended key usage `serverAuth` or `clientAuth`. `serial` must never have been used by this authority. @throws KeylimeError `refused` when the authority would outlive its own certificate.
 */
export async function issueCertificate(authority: Authority, request: CertificateRequest): Promise<Certificate> {
  if (request.notBefore > authority.certificate.notAfter) {
    throw new KeylimeError(
      'refused',
      `the authority "${authority.certificate.subject}" ended on ${new Date(authority.certificate.notAfter).toISOString().slice(0, 10)}`,
      {
        hint: 'make the next one with `keylime ca rotate`',
      },
    )
  }
  const { x509 } = await import('./library.ts')
  const comment = Buffer.from('SSL Server', 'latin1')
  const extensions = [
    new x509.Extension(NETSCAPE_COMMENT, false, Buffer.concat([Buffer.from([0x16, comment.length]), comment])),
    ...subjectNames(x509, request.alternativeNames, request.role),
    ...roleUsage(x509, request.role),
    ...crlAddress(x509, request.crlUrl),
    await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.spki),
  ]
  const issuer = new x509.Name(authority.certificate.subjectName.der)
  return build({ ...request, key: authority.key, issuer, extensions })
}

export interface SelfSignedRequest extends Validity {
  readonly commonName: string
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly serial: bigint
  readonly alternativeNames: readonly HostName[]
  /** Says in the certificate that it is no authority. */
  readonly endEntity?: boolean
}

/** A certificate that vouches only for itself, such as an agent's mTLS certificate: whoever trusts it pins exactly its bytes. */
export async function makeSelfSigned(request: SelfSignedRequest): Promise<Certificate> {
  const { x509 } = await import('./library.ts')
  const subject = [{ oid: '2.5.4.3', value: request.commonName }]
  const noAuthority = request.endEntity ? [new x509.BasicConstraintsExtension(false, undefined, true)] : []
  const extensions = [...hostNames(x509, request.alternativeNames), ...noAuthority]
  return build({ ...request, subject, key: request.privateKey, issuer: nameOf(x509, subject), extensions })
}

/** What a host text is: an address when it looks like one, else a DNS name. The scope of an address has no place in a certificate. */
export function hostName(text: string): HostName {
  const value = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
  return { type: /^\d{1,3}(\.\d{1,3}){3}$/.test(value) || value.includes(':') ? 'ip' : 'dns', value }
}

interface Parts extends Validity {
  /** Or the DER of a name that is kept as it is. */
  readonly subject: readonly NameAttribute[] | Buffer
  readonly publicKey: KeyObject
  readonly key: KeyObject
  readonly serial: bigint
  readonly issuer: InstanceType<X509['Name']>
  readonly extensions: InstanceType<X509['Extension']>[]
}

async function build(parts: Parts): Promise<Certificate> {
  const { x509, signerOf } = await import('./library.ts')
  if (parts.serial <= 0n || parts.serial >= 2n ** 159n) throw new KeylimeError('malformed', `${parts.serial} cannot be a serial number`)
  const hex = parts.serial.toString(16)
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: hex.length % 2 ? `0${hex}` : hex,
    subject: nameOf(x509, parts.subject),
    issuer: parts.issuer,
    notBefore: new Date(parts.notBefore),
    notAfter: new Date(parts.notAfter),
    publicKey: spkiBytes(parts.publicKey),
    extensions: parts.extensions,
    ...signerOf(parts.key),
  })
  return parseCertificate(new Uint8Array(made.rawData))
}

function nameOf(x509: X509, attributes: readonly NameAttribute[] | Buffer): InstanceType<X509['Name']> {
  if (Buffer.isBuffer(attributes)) return new x509.Name(attributes as never)
  return new x509.Name(
    attributes.map(({ oid, value }) => ({ [oid]: [PRINTABLE.has(oid) ? { printableString: value } : { utf8String: value }] })),
  )
}

const spkiBytes = (key: KeyObject): Uint8Array<ArrayBuffer> => new Uint8Array(key.export({ format: 'der', type: 'spki' }))

function subjectNames(x509: X509, names: readonly HostName[], role: Role | undefined) {
  if (role === undefined) return hostNames(x509, names)
  return [new x509.SubjectAlternativeNameExtension([...names, { type: 'url', value: roleName(role) }])]
}

function roleUsage(x509: X509, role: Role | undefined) {
  if (role === undefined) return []
  const usage = role === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth
  return [new x509.BasicConstraintsExtension(false, undefined, true), new x509.ExtendedKeyUsageExtension([usage], true)]
}

const hostNames = (x509: X509, names: readonly HostName[]) =>
  names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : []

const crlAddress = (x509: X509, url: string) => (url === '' ? [] : [new x509.CRLDistributionPointsExtension([url])])
