import { KeylimeError } from './errors.ts'

/** Reads a structure from its first byte on. Every method throws KeylimeError `malformed` instead of reading past the end. */
export class BoundedReader {
  protected readonly buffer: Buffer
  readonly #what: string
  #at = 0

  /** @param what names the structure in errors, for example `TPMS_ATTEST`. */
  constructor(bytes: Uint8Array, what: string) {
    this.buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get remaining(): number {
    return this.buffer.length - this.#at
  }

  u8(): number {
    return this.buffer[this.skip(1)]!
  }

  /** A view of the next `count` bytes, not a copy. */
  bytes(count: number): Buffer {
    const start = this.skip(count)
    return this.buffer.subarray(start, start + count)
  }

  /** Goes on behind the next `count` bytes. @returns where in `buffer` these begin: all of them are there. */
  protected skip(count: number): number {
    if (count > this.remaining) throw this.#error(`ends at byte ${this.buffer.length}, ${count} more are needed at byte ${this.#at}`)
    const start = this.#at
    this.#at += count
    return start
  }

  /** Demands that the structure was consumed exactly. */
  end(): void {
    if (this.remaining !== 0) throw this.#error(`has ${this.remaining} trailing bytes`)
  }

  #error(text: string): KeylimeError {
    return new KeylimeError('malformed', `${this.#what} ${text}`)
  }
}
