import { BoundedReader } from '../bounded-reader.ts'

/** Reads big-endian TPM structures. */
export class ByteReader extends BoundedReader {
  u16(): number {
    return this.buffer.readUInt16BE(this.skip(2))
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.skip(4))
  }

  u64(): bigint {
    return this.buffer.readBigUInt64BE(this.skip(8))
  }

  /** The content of a TPM2B: a 16-bit size and that many bytes. */
  sized(): Buffer {
    return this.bytes(this.u16())
  }
}
