import { BoundedReader } from '../bounded-reader.ts'

/** Reads big-endian TPM structures. */
export class ByteReader extends BoundedReader {
  u16(): number {
    return this.bytes(2).readUInt16BE(0)
  }

  u32(): number {
    return this.bytes(4).readUInt32BE(0)
  }

  u64(): bigint {
    return this.bytes(8).readBigUInt64BE(0)
  }

  /** The content of a TPM2B: a 16-bit size and that many bytes. */
  sized(): Buffer {
    return this.bytes(this.u16())
  }
}
