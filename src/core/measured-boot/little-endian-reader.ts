import { BoundedReader } from '../bounded-reader.ts'

/** Reads the little-endian structures of firmware. */
export class LittleEndianReader extends BoundedReader {
  u16(): number {
    return this.bytes(2).readUInt16LE(0)
  }

  u32(): number {
    return this.bytes(4).readUInt32LE(0)
  }

  /** A length: what does not fit into a number is more than there can be. */
  u64(): number {
    return Number(this.bytes(8).readBigUInt64LE(0))
  }
}
