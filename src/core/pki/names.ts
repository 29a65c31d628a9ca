import { KeylimeError } from '../errors.ts'
import { childrenOf, type DerElement, expectTag, readOid, TAG } from './der.ts'

export interface NameAttribute {
  readonly oid: string
  readonly value: string
}

/** A Name of X.501: a list of RDNs, each of one or more attributes. */
export interface DistinguishedName {
  readonly der: Buffer
  readonly rdns: readonly (readonly NameAttribute[])[]
  /** Equal for two names that match by RFC 5280, section 7.1: case, inner blanks, string type and the order in a SET do not count. */
  readonly matchKey: string
}

/** What upstream puts into every subject, from `[ca]` of ca.conf. */
export interface SubjectFields {
  readonly country: string
  readonly state: string
  readonly locality: string
  readonly organization: string
  readonly organizationUnit: string
}

const SHORT_NAMES: Record<string, string> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
}

const UNIVERSAL_STRING = 0x1c
const BMP_STRING = 0x1e
const UTF8_STRING = 0x0c

export function parseName(element: DerElement): DistinguishedName {
  expectTag(element, TAG.sequence, 'a name')
  const rdns = childrenOf(element).map((set) => childrenOf(expectTag(set, TAG.set, 'a part of a name')).map(attribute))
  const matchKey = JSON.stringify(rdns.map((rdn) => rdn.map(({ oid, value }) => `${oid}=${folded(value)}`).sort()))
  return { der: element.bytes, rdns, matchKey }
}

/** RFC 4514 text, RDNs in reverse order: `OU=53,O=Keylime,L=Lexington,ST=MA,CN=<id>,C=US` for upstream's certificates. */
export function formatName(rdns: DistinguishedName['rdns']): string {
  return [...rdns]
    .reverse()
    .map((rdn) => rdn.map(({ oid, value }) => `${SHORT_NAMES[oid] ?? oid}=${escaped(value)}`).join('+'))
    .join(',')
}

/** Value of the first attribute of that kind, such as `CN`. */
export function attributeOf(name: DistinguishedName, shortNameOrOid: string): string | undefined {
  return name.rdns.flat().find(({ oid }) => oid === shortNameOrOid || SHORT_NAMES[oid] === shortNameOrOid)?.value
}

/** Upstream's subject in its DER order: C, CN, ST, L, O, OU. Empty fields are left out. */
export function upstreamSubject(commonName: string, fields: SubjectFields): NameAttribute[] {
  return [
    { oid: '2.5.4.6', value: fields.country },
    { oid: '2.5.4.3', value: commonName },
    { oid: '2.5.4.8', value: fields.state },
    { oid: '2.5.4.7', value: fields.locality },
    { oid: '2.5.4.10', value: fields.organization },
    { oid: '2.5.4.11', value: fields.organizationUnit },
  ].filter(({ value }) => value !== '')
}

function attribute(element: DerElement): NameAttribute {
  const [type, value] = childrenOf(expectTag(element, TAG.sequence, 'an attribute of a name'))
  if (!type || !value) throw new KeylimeError('malformed', 'an attribute of a name has no type or no value')
  return { oid: readOid(type), value: stringOf(value) }
}

function stringOf({ tag, content }: DerElement): string {
  if (tag === UTF8_STRING) return content.toString('utf8')
  if (tag === BMP_STRING)
    return Buffer.from(content)
      .subarray(0, content.length & ~1)
      .swap16()
      .toString('utf16le')
  if (tag === UNIVERSAL_STRING) return String.fromCodePoint(...words(content).filter((code) => code < 0x11_0000))
  return content.toString('latin1')
}

function words(content: Buffer): number[] {
  return Array.from({ length: Math.min(content.length >> 2, 256) }, (_, i) => content.readUInt32BE(i * 4))
}

const folded = (value: string) => value.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase()

function escaped(value: string): string {
  return value
    .replace(/[,+"\\<>;]/g, '\\$&')
    .replace(/^[ #]/, '\\$&')
    .replace(/ $/, '\\ ')
    .replaceAll('\0', '\\00')
}
