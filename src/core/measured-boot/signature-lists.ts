import { KeylimeError } from '../errors.ts'
import { guidText } from './guid.ts'
import { LittleEndianReader } from './little-endian-reader.ts'

/** EFI_SIGNATURE_DATA: a certificate or a digest, and who entered it. */
export interface EfiSignature {
  owner: string
  /** Lower-case hex. */
  data: string
}

/** EFI_SIGNATURE_LIST: signatures of one kind. */
export interface EfiSignatureList {
  type: string
  signatures: EfiSignature[]
}

const GUID_BYTES = 16
const LIST_HEADER_BYTES = 28
const VENDOR_HEADER_BYTES = 100
const MAX_SIGNATURES = 16_384

/** The lists of PK, KEK, db, dbx (UEFI, section 32.4.1). @throws KeylimeError `malformed` when the sizes do not add up exactly. */
export function parseSignatureLists(bytes: Buffer): EfiSignatureList[] {
  const reader = new LittleEndianReader(bytes, 'the list of signatures')
  const lists: EfiSignatureList[] = []
  let total = 0
  while (reader.remaining > 0) {
    const type = guidText(reader.bytes(GUID_BYTES))
    const [listSize, headerSize, signatureSize] = [reader.u32(), reader.u32(), reader.u32()]
    const size = listSize - LIST_HEADER_BYTES - headerSize
    if (size < 0 || size > reader.remaining || signatureSize < GUID_BYTES || size % signatureSize !== 0)
      throw new KeylimeError('malformed', `a list of ${listSize} bytes does not hold signatures of ${signatureSize} bytes`)
    reader.bytes(headerSize)
    total += size / signatureSize
    if (total > MAX_SIGNATURES || lists.length >= MAX_SIGNATURES)
      throw new KeylimeError('malformed', `there are more than ${MAX_SIGNATURES} signatures`)
    const signatures: EfiSignature[] = []
    for (let at = 0; at < size; at += signatureSize) signatures.push(parseSignature(reader.bytes(signatureSize)))
    lists.push({ type, signatures })
  }
  return lists
}

/** One EFI_SIGNATURE_DATA, as EV_EFI_VARIABLE_AUTHORITY holds it. @throws KeylimeError `malformed`. */
export function parseSignature(bytes: Buffer): EfiSignature {
  const reader = new LittleEndianReader(bytes, 'the signature')
  const owner = guidText(reader.bytes(GUID_BYTES))
  return { owner, data: reader.bytes(reader.remaining).toString('hex') }
}

/**
 * Shim's `vendor_db` authority: owner, bytes that are no part of the format, a DER certificate; repeated. As upstream reads it, all from the owner to the
 * end of the certificate counts as the signature, because reference states hold it so. @throws KeylimeError `malformed` when nothing of that form is there.
 */
export function parseVendorDb(bytes: Buffer): EfiSignature[] {
  const signatures: EfiSignature[] = []
  let at = 0
  while (at + GUID_BYTES < bytes.length) {
    const begin = at + GUID_BYTES
    const der = bytes.subarray(0, Math.min(begin + VENDOR_HEADER_BYTES + 1, bytes.length - 1)).indexOf('3082', begin, 'hex')
    if (der < 0 || der + 4 > bytes.length) break
    const end = der + 4 + bytes.readUInt16BE(der + 2)
    if (end > bytes.length) break
    signatures.push({ owner: guidText(bytes.subarray(at, begin)), data: bytes.toString('hex', begin, end) })
    at = end
  }
  if (signatures.length === 0) throw new KeylimeError('malformed', 'vendor_db holds no certificate')
  return signatures
}
