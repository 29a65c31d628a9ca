import { BoundedReader } from '../bounded-reader.ts'

/** Reads the little-endian structures of firmware. */
export class LittleEndianReader extends BoundedReader {
  u16(): number {
    return this.buffer.readUInt16LE(this.skip(2))
  }

  u32(): number {
    return this.buffer.readUInt32LE(this.skip(4))
  }

  /** A length: what does not fit into a number is more than there can be. */
  u64(): number {
    return Number(this.buffer.readBigUInt64LE(this.skip(8)))
  }
}
