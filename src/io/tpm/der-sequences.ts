const SEQUENCE = 0x30
const MAX_COUNT = 16

/** Cuts concatenated DER structures (certificates in NV) apart. Padding behind the last one (0xff or 0x00) is left out, and so is one that is cut off. */
export function derSequences(bytes: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < bytes.length && bytes[at] === SEQUENCE && found.length < MAX_COUNT; ) {
    const size = sizeOf(bytes, at)
    if (size === null || at + size > bytes.length) break
    found.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return found
}

/** Size of the structure at `at` with its header; lengths of one to three bytes. */
function sizeOf(bytes: Buffer, at: number): number | null {
  const first = bytes[at + 1]
  if (first === undefined) return null
  if (first < 0x80) return 2 + first
  const count = first & 0x7f
  if (count < 1 || count > 3 || at + 2 + count > bytes.length) return null
  return 2 + count + bytes.readUIntBE(at + 2, count)
}
