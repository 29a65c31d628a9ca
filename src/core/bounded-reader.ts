import { KeylimeError } from './errors.ts'

/** Reads a structure from its first byte on. Every method throws KeylimeError `malformed` instead of reading past the end. */
export class BoundedReader {
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

  /** A view of the next `count` bytes, not a copy. */
  bytes(count: number): Buffer {
    if (count > this.remaining) throw this.#error(`ends at byte ${this.#bytes.length}, ${count} more are needed at byte ${this.#at}`)
    const view = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return view
  }

  /** Demands that the structure was consumed exactly. */
  end(): void {
    if (this.remaining !== 0) throw this.#error(`has ${this.remaining} trailing bytes`)
  }

  #error(text: string): KeylimeError {
    return new KeylimeError('malformed', `${this.#what} ${text}`)
  }
}
