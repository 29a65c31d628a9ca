/**
 * Puts together what comes in chunks, in memory that grows with what has come: a list of chunks that is joined at the end would need twice as much, and so
 * would believing an announced length.
 */
export class ByteCollector {
  #bytes: Buffer = Buffer.alloc(0)
  #length = 0
  readonly #maxBytes: number

  /** @param maxBytes of all chunks together: the caller sees to it. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get length(): number {
    return this.#length
  }

  add(chunk: Buffer): void {
    const needed = this.#length + chunk.length
    if (this.#length === 0)
      this.#bytes = chunk // most are a single one
    else if (needed > this.#bytes.length) this.#grow(needed)
    if (this.#length > 0) chunk.copy(this.#bytes, this.#length)
    this.#length = needed
  }

  /** Everything so far. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** The pages behind what has come are not touched, and cost nothing yet. */
  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * needed, this.#maxBytes)))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
