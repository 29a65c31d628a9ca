const SEQUENCE = 0x30
const OCTET_STRING = 0x04
const MAX_COUNT = 16

/**
 * Cuts concatenated DER structures (certificates in NV) apart. Padding behind the last one (0xff or 0x00) is left out, and so is one that is cut off. Some
 * makers wrap the certificate in an octet string: it is taken out.
 */
export function derSequences(bytes: Buffer): Buffer[] {
  const found: Buffer[] = []
  const start = bytes[0] === OCTET_STRING && sizeOf(bytes, 0) !== null ? headerSize(bytes) : 0
  for (let at = start; at < bytes.length && bytes[at] === SEQUENCE && found.length < MAX_COUNT; ) {
    const size = sizeOf(bytes, at)
    if (size === null || at + size > bytes.length) break
    found.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return found
}

const headerSize = (bytes: Buffer) => (bytes[1]! < 0x80 ? 2 : 2 + (bytes[1]! & 0x7f))

/** Size of the structure at `at` with its header; lengths of one to three bytes. */
function sizeOf(bytes: Buffer, at: number): number | null {
  const first = bytes[at + 1]
  if (first === undefined) return null
  if (first < 0x80) return 2 + first
  const count = first & 0x7f
  if (count < 1 || count > 3 || at + 2 + count > bytes.length) return null
  return 2 + count + bytes.readUIntBE(at + 2, count)
}
