import { TAG } from './der.ts'

const NULL = 0x05
export const ENUMERATED = 0x0a

/** One element of DER: tag, shortest length, content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const hex = evenHex(BigInt(length))
  return Buffer.from(`${(0x80 | (hex.length / 2)).toString(16)}${hex}`, 'hex')
}

export const derSequence = (...parts: readonly Uint8Array[]): Buffer => der(TAG.sequence, ...parts)

/** Context-specific and constructed: EXPLICIT [number]. */
export const derExplicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => der(0xa0 | number, ...parts)

export const derNull = (): Buffer => der(NULL)

/** A non-negative INTEGER. */
export function derInteger(value: bigint): Buffer {
  const bytes = Buffer.from(evenHex(value), 'hex')
  return der(TAG.integer, (bytes[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), bytes)
}

export const derEnumerated = (value: number): Buffer => der(ENUMERATED, Buffer.from([value]))

export const derOctets = (bytes: Uint8Array): Buffer => der(TAG.octetString, bytes)

/** A BIT STRING of whole bytes. */
export const derBits = (bytes: Uint8Array): Buffer => der(TAG.bitString, Buffer.from([0]), bytes)

/** GeneralizedTime in whole seconds. @param time milliseconds since the epoch. */
export const derTime = (time: number): Buffer =>
  der(TAG.generalizedTime, Buffer.from(`${new Date(time).toISOString().replace(/\D/g, '').slice(0, 14)}Z`, 'latin1'))

/** Time of certificates and lists: UTCTime until 2049 (RFC 5280, section 4.1.2.5). @param time milliseconds since the epoch. */
export function derDate(time: number): Buffer {
  const year = new Date(time).getUTCFullYear()
  if (year < 1950 || year > 2049) return derTime(time)
  return der(TAG.utcTime, Buffer.from(`${new Date(time).toISOString().replace(/\D/g, '').slice(2, 14)}Z`, 'latin1'))
}

/** OBJECT IDENTIFIER from its dotted text. */
export function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(TAG.oid, ...[first * 40 + second, ...rest].map(base128))
}

function base128(arc: number): Buffer {
  const bytes = [arc & 0x7f]
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) bytes.unshift((left & 0x7f) | 0x80)
  return Buffer.from(bytes)
}

function evenHex(value: bigint): string {
  const hex = value.toString(16)
  return hex.length % 2 ? `0${hex}` : hex
}
