import { createPublicKey, type KeyObject } from 'node:crypto'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import { childrenOf, type DerElement, expectTag, readBitString, readElement, readInteger, readOid, readTime, TAG } from './der.ts'
import { derDefect } from './der-defect.ts'
import { formatName, parseName } from './names.ts'
import { parseSignatureAlgorithm } from './signature-algorithm.ts'
import type { Certificate, Extension } from './types.ts'

const MAX_SIZE = 64 * 1024
const PEM = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g
const RSAES_OAEP = Buffer.from('06092a864886f70d010107', 'hex')
const RSA_ENCRYPTION = Buffer.from('300d06092a864886f70d0101010500', 'hex')

/**
 * Reads one certificate from DER, base64 of DER, or PEM (the first block). Bytes that are not strict DER, as several TPM makers deliver them, are read
 * all the same, marked `strict: false`, and keep their original bytes for the signature check (RFC 5280; policies G.3). @throws KeylimeError `malformed`.
 */
export function parseCertificate(input: string | Uint8Array): Certificate {
  const der = typeof input === 'string' ? derOfText(input) : Buffer.from(input)
  if (der.length > MAX_SIZE) throw new KeylimeError('malformed', `a certificate of ${der.length} bytes is larger than any real one`)
  try {
    return readCertificate(der)
  } catch (cause) {
    if (isKeylimeError(cause)) throw new KeylimeError('malformed', `not an X.509 certificate: ${cause.message}`, { cause })
    throw cause
  }
}

/** All certificates of a text, in order: any number of PEM blocks, or one base64 DER. An empty list when it holds none. */
export function parseCertificates(text: string): Certificate[] {
  if (!text.includes('-----BEGIN')) return text.trim() === '' ? [] : [parseCertificate(text)]
  return [...text.matchAll(PEM)].map((block) => parseCertificate(Buffer.from(block[1] ?? '', 'base64')))
}

/** PEM of DER bytes, lines of 64 characters. */
export function toPem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** DER of the first PEM block of a text, or of base64. @throws KeylimeError `malformed`. */
export function derOfText(text: string): Buffer {
  if (text.includes('-----BEGIN')) {
    PEM.lastIndex = 0
    const block = PEM.exec(text)
    PEM.lastIndex = 0
    if (!block) throw new KeylimeError('malformed', 'the PEM text holds no certificate')
    return Buffer.from(block[1] ?? '', 'base64')
  }
  const compact = text.replace(/\s+/g, '')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) throw new KeylimeError('malformed', 'the certificate is neither PEM nor base64')
  return Buffer.from(compact, 'base64')
}

function readCertificate(der: Buffer): Certificate {
  const outer = expectTag(readElement(der), TAG.sequence, 'the certificate')
  const [tbs, algorithm, signature] = childrenOf(outer)
  const fields = childrenOf(expectTag(tbs, TAG.sequence, 'the signed part'))
  const version = fields[0]?.tag === 0xa0 ? Number(readInteger(childrenOf(fields.shift() as DerElement)[0])) + 1 : 1
  const [serial, inner, issuer, validity, subject, spki, ...rest] = fields
  const outerAlgorithm = expectTag(algorithm, TAG.sequence, 'the signature algorithm')
  if (!expectTag(inner, TAG.sequence, 'the inner signature algorithm').bytes.equals(outerAlgorithm.bytes)) {
    throw new KeylimeError('malformed', 'the signature algorithm inside and outside of the signed part differ')
  }
  const [notBefore, notAfter] = childrenOf(expectTag(validity, TAG.sequence, 'the validity')).map(readTime)
  const subjectName = parseName(expectTag(subject, TAG.sequence, 'the subject'))
  const issuerName = parseName(expectTag(issuer, TAG.sequence, 'the issuer'))
  const key = expectTag(spki, TAG.sequence, 'the public key')
  const defect = derDefect(der)
  return {
    der,
    pem: toPem(outer.bytes),
    tbs: (tbs as DerElement).bytes,
    signature: readBitString(signature),
    signatureAlgorithm: parseSignatureAlgorithm(outerAlgorithm),
    version,
    serial: readInteger(serial),
    subject: formatName(subjectName.rdns),
    issuer: formatName(issuerName.rdns),
    subjectName,
    issuerName,
    notBefore: notBefore ?? Number.NaN,
    notAfter: notAfter ?? Number.NaN,
    publicKey: publicKeyOf(key),
    spki: key.bytes,
    extensions: readExtensions(rest.find((field) => field.tag === 0xa3)),
    strict: defect === undefined,
    defect,
  }
}

function readExtensions(field: DerElement | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>()
  if (!field) return extensions
  for (const element of childrenOf(expectTag(childrenOf(field)[0], TAG.sequence, 'the extensions'))) {
    const [oid, ...parts] = childrenOf(expectTag(element, TAG.sequence, 'an extension'))
    const critical = parts[0]?.tag === TAG.boolean && parts[0].content[0] !== 0
    const name = readOid(expectTag(oid, TAG.oid, 'the name of an extension'))
    if (extensions.has(name)) throw new KeylimeError('malformed', `extension ${name} appears twice`)
    extensions.set(name, { critical, value: expectTag(parts.at(-1), TAG.octetString, 'the value of an extension').content })
  }
  return extensions
}

/** Some makers mark an RSA EK as id-RSAES-OAEP, which OpenSSL does not read: the key itself is the same (RFC 4055, section 4.1). */
function publicKeyOf(spki: DerElement): KeyObject {
  const [algorithm, bits] = childrenOf(spki)
  const isOaep = algorithm?.content.subarray(0, RSAES_OAEP.length).equals(RSAES_OAEP)
  const content = isOaep && bits ? Buffer.concat([RSA_ENCRYPTION, bits.bytes]) : spki.content
  const der = isOaep ? Buffer.concat([Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]), content]) : spki.bytes
  try {
    return createPublicKey(toPem(der, 'PUBLIC KEY')) // a text is read in half the time: of an object Node finds out first, by an exception, that it is no key
  } catch (cause) {
    throw new KeylimeError('malformed', 'its public key is of an unknown kind', { cause })
  }
}
