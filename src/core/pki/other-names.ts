import { X509Certificate } from '@peculiar/x509'
import { KeylimeError } from '../errors.ts'

export interface OtherName {
  /** Object identifier of the name's type. */
  type: string
  /** The first object identifier inside the value, as HardwareModuleName has its hwType; empty when there is none. */
  firstOid: string
}

const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17'

/** The otherName entries of a certificate's SubjectAltName (RFC 5280, section 4.2.1.6). @throws KeylimeError `malformed`. */
export function otherNames(der: Buffer): OtherName[] {
  const extension = new X509Certificate(der).getExtension(SUBJECT_ALTERNATIVE_NAME)
  if (!extension) return []
  const names = children(new Uint8Array(extension.value), 'SubjectAltName')[0]
  if (!names) return []
  return children(names.content, 'GeneralNames').flatMap((name) => (name.tag === 0xa0 ? [otherName(name.content)] : []))
}

interface Element {
  tag: number
  content: Uint8Array
}

function otherName(content: Uint8Array): OtherName {
  const [type, explicit] = children(content, 'OtherName')
  const value = explicit ? children(explicit.content, 'OtherName value')[0] : undefined
  const oid = value && value.tag === 0x30 ? children(value.content, 'OtherName value').find((element) => element.tag === 0x06) : undefined
  return { type: type ? oidText(type.content) : '', firstOid: oid ? oidText(oid.content) : '' }
}

/** Splits DER into its elements; lengths up to 64 KiB. */
function children(bytes: Uint8Array, what: string): Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at]!
    const short = bytes[at + 1] ?? 0x80
    const extra = short < 0x80 ? 0 : short & 0x7f
    const length = extra === 0 ? short : bytes.subarray(at + 2, at + 2 + extra).reduce((n, byte) => n * 256 + byte, 0)
    const start = at + 2 + extra
    if (extra > 2 || short === 0x80 || start + length > bytes.length) throw new KeylimeError('malformed', `${what} is not DER`)
    elements.push({ tag, content: bytes.subarray(start, start + length) })
    at = start + length
  }
  return elements
}

function oidText(content: Uint8Array): string {
  const arcs: number[] = []
  let value = 0
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f)
    if (byte & 0x80) continue
    arcs.push(value)
    value = 0
  }
  const first = arcs[0] ?? 0
  const top = Math.min(Math.floor(first / 40), 2)
  return [top, first - top * 40, ...arcs.slice(1)].join('.')
}
