import { KeylimeError } from '../../core/errors.ts'

/** Each chunk costs as much time as some thousand bytes: who sends byte by byte is cut off long before its bytes are too many. */
const MOST_SMALL_CHUNKS = 4096
const SMALL_BYTES = 256

/**
 * Puts together what comes in chunks, in memory that grows with what has come and is never copied: a list of chunks that is joined at the end, or a piece of
 * memory that is doubled, would move many megabytes in one turn of the event loop, and need twice as much.
 */
export class ByteCollector {
  /** A single chunk as it came, which most bodies are; null when there are more. */
  #first: Buffer | null = null
  /** Address space for `maxBytes`; memory only for what has come. */
  #memory: ArrayBuffer | null = null
  #length = 0
  #chunks = 0
  readonly #maxBytes: number

  /** @param maxBytes of all chunks together: the caller sees to it. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get length(): number {
    return this.#length
  }

  /** @throws KeylimeError `invalid_request` when it comes in too many small pieces. */
  add(chunk: Buffer): void {
    if (++this.#chunks > MOST_SMALL_CHUNKS + this.#length / SMALL_BYTES)
      throw new KeylimeError('invalid_request', 'it comes in too many small pieces')
    if (this.#length === 0) this.#first = chunk
    else this.#append(chunk)
    this.#length += chunk.length
  }

  /** Everything so far; ends the collecting. */
  bytes(): Buffer {
    if (!this.#memory) return this.#first ?? Buffer.alloc(0)
    this.#memory.resize(this.#length)
    return Buffer.from(this.#memory, 0, this.#length)
  }

  #append(chunk: Buffer): void {
    if (!this.#memory) {
      this.#memory = new ArrayBuffer(0, { maxByteLength: this.#maxBytes })
      const first = this.#first!
      this.#first = null
      this.#write(first, 0)
    }
    this.#write(chunk, this.#length)
  }

  #write(chunk: Buffer, at: number): void {
    const memory = this.#memory!
    const needed = at + chunk.length
    if (needed > memory.byteLength) memory.resize(Math.min(this.#maxBytes, Math.max(needed, 2 * memory.byteLength)))
    chunk.copy(new Uint8Array(memory, at, chunk.length))
  }
}
