import { KeylimeError } from '../errors.ts'

/** Reads the little-endian structures of firmware. Throws KeylimeError `malformed` instead of reading past the end. */
export class LittleEndianReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at = 0

  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.bytes(1)[0]!
  }

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

  /** A view, not a copy. */
  bytes(count: number): Buffer {
    if (count > this.remaining)
      throw new KeylimeError('malformed', `${this.#what} ends at byte ${this.#bytes.length}, ${count} more are needed at byte ${this.#at}`)
    const view = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return view
  }
}
