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

/** SEQUENCE { INTEGER r, INTEGER s } of two unsigned big-endian numbers of at most 66 bytes. */
function ecdsaDer(r: Uint8Array, s: Uint8Array): Buffer {
  const body = Buffer.concat([derInteger(r), derInteger(s)])
  return Buffer.concat([body.length < 0x80 ? Buffer.from([0x30, body.length]) : Buffer.from([0x30, 0x81, body.length]), body])
}

function derInteger(value: Uint8Array): Buffer {
  if (value.length > 66) throw new KeylimeError('malformed', `ECDSA number of ${value.length} bytes`)
  let start = 0
  while (start < value.length - 1 && value[start] === 0) start++
  const bytes = value.subarray(start)
  const padded = bytes.length === 0 || bytes[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes
  return Buffer.concat([Buffer.from([0x02, padded.length]), padded])
}
