/** Big-endian building blocks of TPM structures (TPM 2.0 Library, Part 2, section 4). */

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** A TPM2B: 16-bit size and the bytes. */
export const sized = (bytes: Uint8Array): Buffer => Buffer.concat([u16(bytes.length), bytes])
