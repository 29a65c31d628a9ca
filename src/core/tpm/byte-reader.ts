import { KeylimeError } from '../errors.ts'

/** Reads big-endian TPM structures. Every method throws KeylimeError `malformed` instead of reading past the end. */
export class ByteReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at = 0

  /** @param what names the structure in errors, for example `TPMS_ATTEST`. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.bytes(1)[0]!
  }

  u16(): number {
    return this.bytes(2).readUInt16BE(0)
  }

  u32(): number {
    return this.bytes(4).readUInt32BE(0)
  }

  u64(): bigint {
    return this.bytes(8).readBigUInt64BE(0)
  }

  /** A view of the next `count` bytes, not a copy. */
  bytes(count: number): Buffer {
    if (count > this.remaining) throw this.#error(`ends after ${this.#bytes.length} bytes, ${this.#at + count} are needed`)
    const view = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return view
  }

  /** The content of a TPM2B: a 16-bit size and that many bytes. */
  sized(): Buffer {
    return this.bytes(this.u16())
  }

  /** Demands that the structure was consumed exactly. */
  end(): void {
    if (this.remaining !== 0) throw this.#error(`has ${this.remaining} trailing bytes`)
  }

  #error(text: string): KeylimeError {
    return new KeylimeError('malformed', `${this.#what} ${text}`)
  }
}
