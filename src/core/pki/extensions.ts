import { childrenOf, expectTag, readBitString, readElement, readInteger, readOid, TAG } from './der.ts'
import type { Certificate } from './types.ts'

export const EXTENSION = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAlternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  inhibitAnyPolicy: '2.5.29.54',
} as const

/** Bits of KeyUsage, the first is the highest of the first byte. */
export const KEY_USAGE = {
  digitalSignature: 0,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  crlSign: 6,
} as const

export interface BasicConstraints {
  readonly ca: boolean
  /** How many CA certificates may follow; undefined: any number. */
  readonly pathLength: number | undefined
}

/** Undefined when the certificate does not say. */
export function basicConstraintsOf(certificate: Certificate): BasicConstraints | undefined {
  const extension = certificate.extensions.get(EXTENSION.basicConstraints)
  if (!extension) return undefined
  const [first, second] = childrenOf(readElement(extension.value))
  const ca = first?.tag === TAG.boolean && first.content[0] !== 0
  const length = first?.tag === TAG.boolean ? second : first
  return { ca, pathLength: length ? Number(readInteger(length)) : undefined }
}

/** Whether the key may be used so; undefined when the certificate does not restrict its use. */
export function hasKeyUsage(certificate: Certificate, bit: number): boolean | undefined {
  const extension = certificate.extensions.get(EXTENSION.keyUsage)
  if (!extension) return undefined
  const bits = readBitString(readElement(extension.value))
  return (((bits[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1
}

/** Dotted OIDs of ExtendedKeyUsage; undefined when the certificate does not restrict its use. */
export function extendedKeyUsageOf(certificate: Certificate): string[] | undefined {
  const extension = certificate.extensions.get(EXTENSION.extendedKeyUsage)
  return extension ? childrenOf(readElement(extension.value)).map(readOid) : undefined
}

/** Dotted OIDs of CertificatePolicies; an empty list when the certificate names none. */
export function certificatePoliciesOf(certificate: Certificate): string[] {
  const extension = certificate.extensions.get(EXTENSION.certificatePolicies)
  return extension
    ? childrenOf(readElement(extension.value)).map((policy) => readOid(expectTag(childrenOf(policy)[0], TAG.oid, 'a policy')))
    : []
}

/** URLs of the CRLDistributionPoints extension (RFC 5280, section 4.2.1.13). */
export function crlAddressesOf(certificate: Certificate): string[] {
  const extension = certificate.extensions.get(EXTENSION.crlDistributionPoints)
  if (!extension) return []
  const points = childrenOf(readElement(extension.value)).flatMap((point) => childrenOf(point).filter(({ tag }) => tag === 0xa0))
  const fullNames = points.flatMap((name) => childrenOf(name).filter(({ tag }) => tag === 0xa0))
  return fullNames.flatMap((names) => childrenOf(names)).flatMap(({ tag, content }) => (tag === 0x86 ? [content.toString('latin1')] : []))
}
