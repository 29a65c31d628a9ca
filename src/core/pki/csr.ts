import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { childrenOf, expectTag, readBitString, readElement, readOid, TAG } from './der.ts'
import { EXTENSION } from './extensions.ts'
import { type DistinguishedName, formatName, parseName } from './names.ts'
import { isSignatureRight, parseSignatureAlgorithm } from './signature-algorithm.ts'
import { type AlternativeName, generalNames } from './subject-alternative-names.ts'

/** What a PKCS#10 request asks for; its signature has been checked, so whoever made it holds the key. */
export interface SigningRequest {
  readonly subject: string
  readonly subjectName: DistinguishedName
  readonly publicKey: KeyObject
  readonly alternativeNames: readonly AlternativeName[]
}

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const PEM = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END/

/** Reads a certificate signing request, PEM or DER (RFC 2986). @throws KeylimeError `malformed`, also when its own signature is wrong. */
export function parseSigningRequest(input: string | Buffer): SigningRequest {
  const text = typeof input === 'string' ? input : input.subarray(0, 65_536).toString('latin1')
  const der = typeof input === 'string' || text.includes('-----BEGIN') ? Buffer.from(PEM.exec(text)?.[1] ?? '', 'base64') : input
  if (der.length === 0) throw new KeylimeError('malformed', 'the file holds no certificate signing request')
  const [info, algorithm, signature] = childrenOf(expectTag(readElement(der), TAG.sequence, 'the request'))
  const content = expectTag(info, TAG.sequence, 'the request')
  const [, subject, spki, attributes] = childrenOf(content)
  const publicKey = createKey(expectTag(spki, TAG.sequence, 'the public key of the request').bytes)
  const known = parseSignatureAlgorithm(expectTag(algorithm, TAG.sequence, 'the signature algorithm of the request'))
  if (!known || !isSignatureRight(known, publicKey, content.bytes, readBitString(signature))) {
    throw new KeylimeError('malformed', 'the signing request is not signed by its own key')
  }
  const subjectName = parseName(expectTag(subject, TAG.sequence, 'the subject of the request'))
  return { subject: formatName(subjectName.rdns), subjectName, publicKey, alternativeNames: requestedNames(attributes?.bytes) }
}

function requestedNames(attributes: Buffer | undefined): AlternativeName[] {
  if (!attributes) return []
  for (const attribute of childrenOf(readElement(attributes))) {
    const [oid, values] = childrenOf(attribute)
    if (!oid || !values || readOid(oid) !== EXTENSION_REQUEST) continue
    for (const extension of childrenOf(values).flatMap(childrenOf)) {
      const [name, ...parts] = childrenOf(extension)
      const value = parts.at(-1)
      if (name && value && readOid(name) === EXTENSION.subjectAlternativeName) return generalNames(readElement(value.content))
    }
  }
  return []
}

function createKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' })
  } catch (cause) {
    throw new KeylimeError('malformed', 'the public key of the request is of an unknown kind', { cause })
  }
}
