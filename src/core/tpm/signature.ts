import { constants, verify } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { type HashName, hashNameOf, TPM_ALG } from './algorithms.ts'
import { ByteReader } from './byte-reader.ts'
import type { PublicArea } from './public-area.ts'

/** A TPMT_SIGNATURE (Part 2, section 11.3.4). ECDSA signatures are kept as DER, the form `crypto.verify` takes fastest. */
export interface TpmSignature {
  algorithm: 'rsassa' | 'rsapss' | 'ecdsa'
  hash: HashName
  value: Buffer
}

/** Parses a TPMT_SIGNATURE, exactly. @throws KeylimeError `malformed` for other schemes, truncation, trailing bytes. */
export function parseSignature(bytes: Uint8Array): TpmSignature {
  const reader = new ByteReader(bytes, 'TPMT_SIGNATURE')
  const algorithm = reader.u16()
  if (algorithm !== TPM_ALG.RSASSA && algorithm !== TPM_ALG.RSAPSS && algorithm !== TPM_ALG.ECDSA)
    throw new KeylimeError('malformed', `signature scheme 0x${algorithm.toString(16).padStart(4, '0')} cannot be verified`)
  const hash = hashNameOf(reader.u16())
  const value = algorithm === TPM_ALG.ECDSA ? ecdsaDer(reader.sized(), reader.sized()) : Buffer.from(reader.sized())
  reader.end()
  return { algorithm: algorithm === TPM_ALG.ECDSA ? 'ecdsa' : algorithm === TPM_ALG.RSAPSS ? 'rsapss' : 'rsassa', hash, value }
}

/**
 * Whether `signature` over `data` was made by `signer`. The scheme must fit the key's type, so that a signature cannot choose how it is read.
 * An RSAPSS signature may have a salt of any length: TPMs make it as long as the key allows, or as the digest (part 1 of the TPM library, annex B.7).
 */
export function verifySignature(signer: Pick<PublicArea, 'type' | 'key'>, data: Uint8Array, signature: TpmSignature): boolean {
  if ((signer.type === 'ecc') !== (signature.algorithm === 'ecdsa')) return false
  try {
    if (signature.algorithm !== 'rsapss') return verify(signature.hash, data, signer.key, signature.value)
    const padding = constants.RSA_PKCS1_PSS_PADDING
    return verify(signature.hash, data, { key: signer.key, padding, saltLength: constants.RSA_PSS_SALTLEN_AUTO }, signature.value)
  } catch {
    return false
  }
}

const SEQUENCE = 0x30
const INTEGER = 0x02
const LONG_LENGTH = 0x81
const MAX_NUMBER = 66

/** SEQUENCE { INTEGER r, INTEGER s } of two unsigned big-endian numbers of at most 66 bytes. */
function ecdsaDer(r: Uint8Array, s: Uint8Array): Buffer {
  const sizeOfR = integerSize(r)
  const sizeOfS = integerSize(s)
  const length = 2 + sizeOfR + 2 + sizeOfS
  const head = length < 0x80 ? 2 : 3
  const der = Buffer.allocUnsafe(head + length) // each byte is written
  der[0] = SEQUENCE
  if (head === 3) der[1] = LONG_LENGTH
  der[head - 1] = length
  writeInteger(der, head, r)
  writeInteger(der, head + 2 + sizeOfR, s)
  return der
}

/** Leading zeros do not count, and there is one byte at least; a zero goes before a number that would be negative. */
function integerSize(value: Uint8Array): number {
  if (value.length > MAX_NUMBER) throw new KeylimeError('malformed', `ECDSA number of ${value.length} bytes`)
  const start = firstDigit(value)
  return value.length - start + (value.length === 0 || value[start]! >= 0x80 ? 1 : 0)
}

function firstDigit(value: Uint8Array): number {
  let start = 0
  while (start < value.length - 1 && value[start] === 0) start++
  return start
}

function writeInteger(der: Buffer, at: number, value: Uint8Array): void {
  const size = integerSize(value)
  der[at] = INTEGER
  der[at + 1] = size
  der[at + 2] = 0 // where a number needs it, and overwritten otherwise
  const start = firstDigit(value)
  const end = at + 2 + size
  for (let i = start; i < value.length; i++) der[end - value.length + i] = value[i]!
}
