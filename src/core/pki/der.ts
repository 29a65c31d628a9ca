import { KeylimeError } from '../errors.ts'

/** One TLV of DER or BER with definite lengths. Nothing is copied: both buffers are views of the input. */
export interface DerElement {
  /** Identifier octet, class and constructed bit included: 0x30 SEQUENCE, 0x31 SET, 0xa0 [0] … */
  readonly tag: number
  readonly content: Buffer
  /** Tag, length and content as they stand in the input. */
  readonly bytes: Buffer
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** The element at `offset`. Accepts lengths that are longer than needed, because real certificates have them; `derDefect` finds those. */
export function readElement(bytes: Buffer, offset = 0): DerElement {
  const tag = bytes[offset]
  const first = bytes[offset + 1]
  if (tag === undefined || first === undefined) throw truncated()
  if ((tag & 0x1f) === 0x1f) throw new KeylimeError('malformed', 'ASN.1 tag numbers over 30 are not used in certificates')
  let start = offset + 2
  let length = first
  if (first & 0x80) {
    const octets = first & 0x7f
    if (octets === 0 || octets > 4) throw new KeylimeError('malformed', 'ASN.1 length of indefinite form or over 4 bytes')
    if (start + octets > bytes.length) throw truncated()
    length = bytes.readUIntBE(start, octets)
    start += octets
  }
  if (start + length > bytes.length) throw truncated()
  return { tag, content: bytes.subarray(start, start + length), bytes: bytes.subarray(offset, start + length) }
}

/** The elements that make up a constructed one. */
export function childrenOf(element: DerElement): DerElement[] {
  const children: DerElement[] = []
  for (let at = 0; at < element.content.length; ) {
    const child = readElement(element.content, at)
    children.push(child)
    at += child.bytes.length
  }
  return children
}

/** `element` when it has the tag. @throws KeylimeError `malformed` that names `what`. */
export function expectTag(element: DerElement | undefined, tag: number, what: string): DerElement {
  if (element?.tag !== tag) throw new KeylimeError('malformed', `${what} is missing or of another ASN.1 type`)
  return element
}

/** Dotted text of an OBJECT IDENTIFIER. */
export function readOid(element: DerElement): string {
  const { content } = expectTag(element, TAG.oid, 'an object identifier')
  const arcs: bigint[] = []
  let value = 0n
  for (const byte of content) {
    value = (value << 7n) | BigInt(byte & 0x7f)
    if (byte & 0x80) continue
    arcs.push(value)
    value = 0n
  }
  const [first, ...rest] = arcs
  if (first === undefined) throw new KeylimeError('malformed', 'an object identifier is empty')
  const top = first < 80n ? first / 40n : 2n
  return [top, first - top * 40n, ...rest].join('.')
}

/** Value of an INTEGER, two's complement. */
export function readInteger(element: DerElement | undefined): bigint {
  const { content } = expectTag(element, TAG.integer, 'an integer')
  if (content.length === 0) throw new KeylimeError('malformed', 'an integer is empty')
  return BigInt.asIntN(content.length * 8, BigInt(`0x${content.toString('hex')}`))
}

/** Bytes of a BIT STRING without unused bits. */
export function readBitString(element: DerElement | undefined): Buffer {
  const { content } = expectTag(element, TAG.bitString, 'a bit string')
  if (content[0] === undefined || content[0] > 7) throw new KeylimeError('malformed', 'a bit string has no valid first byte')
  return content.subarray(1)
}

/** Milliseconds since the epoch of a UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5). */
export function readTime(element: DerElement | undefined): number {
  const text = element?.content.toString('latin1') ?? ''
  const short = element?.tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/.exec(text) : null
  const long = element?.tag === TAG.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d+)?Z$/.exec(text) : null
  const [, year, ...parts] = short ?? long ?? []
  if (year === undefined) throw new KeylimeError('malformed', 'a date is not of the form YYMMDDhhmmssZ or YYYYMMDDhhmmssZ')
  const [month, day, hour, minute, second] = parts.map((part) => Number(part ?? 0)) as [number, number, number, number, number]
  const full = short ? Number(year) + (Number(year) < 50 ? 2000 : 1900) : Number(year)
  const date = new Date(0)
  date.setUTCFullYear(full, month - 1, day)
  date.setUTCHours(hour, minute, second, 0)
  const read = [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
  if (read.join() !== [month, day, hour, minute, second].join()) throw new KeylimeError('malformed', `there is no date ${text}`)
  return date.getTime()
}

const truncated = () => new KeylimeError('malformed', 'the ASN.1 bytes end too early')
