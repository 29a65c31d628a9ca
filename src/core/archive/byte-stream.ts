import { KeylimeError } from '../errors.ts'

const EMPTY = Buffer.alloc(0)

/** A source read front to back, in pieces of the reader's choice; at most `limit` bytes of it, so that nothing hostile runs for ever. */
export class ByteStream {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #limit: number
  #chunk: Buffer = EMPTY
  #taken = 0

  constructor(source: AsyncIterable<Uint8Array>, limit: number) {
    this.#source = source[Symbol.asyncIterator]()
    this.#limit = limit
  }

  /** Bytes that were taken so far. */
  get position(): number {
    return this.#taken
  }

  /** The next bytes without taking them; fewer at the end. */
  async peek(count: number): Promise<Buffer> {
    const pieces = [this.#chunk]
    for (let length = this.#chunk.length; length < count; ) {
      const { done, value } = await this.#source.next()
      if (done) break
      pieces.push(Buffer.from(value.buffer, value.byteOffset, value.length))
      length += value.length
    }
    if (pieces.length > 1) this.#chunk = Buffer.concat(pieces)
    return this.#chunk.subarray(0, count)
  }

  /** Exactly `count` bytes, which the caller has bounded. @throws KeylimeError `archive_refused` at the end. */
  async take(count: number): Promise<Buffer> {
    const bytes = await this.peek(count)
    if (bytes.length < count) throw refused('ends too early')
    this.#advance(count)
    return bytes
  }

  /** Hands out exactly `count` bytes, piece by piece. */
  async each(count: number, use: (piece: Buffer) => void): Promise<void> {
    for (let left = count; left > 0; ) {
      if ((await this.peek(1)).length === 0) throw refused('ends too early')
      const piece = this.#chunk.subarray(0, left)
      this.#advance(piece.length)
      left -= piece.length
      use(piece)
    }
  }

  skip(count: number): Promise<void> {
    return this.each(count, () => undefined)
  }

  /** Skips zeros. @returns false at the end. */
  async skipZeros(): Promise<boolean> {
    while ((await this.peek(1)).length > 0) {
      const at = this.#chunk.findIndex((byte) => byte !== 0)
      this.#advance(at < 0 ? this.#chunk.length : at)
      if (at >= 0) return true
    }
    return false
  }

  /** All that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    while ((await this.peek(1)).length > 0) {
      const piece = this.#chunk
      this.#advance(piece.length)
      yield piece
    }
  }

  /** At most `count` bytes more, as a source of its own. */
  async *part(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if ((await this.peek(1)).length === 0) throw refused('ends too early')
      const piece = this.#chunk.subarray(0, left)
      this.#advance(piece.length)
      left -= piece.length
      yield piece
    }
  }

  /** Tells the source that nobody reads on. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }

  #advance(count: number): void {
    this.#chunk = this.#chunk.subarray(count)
    this.#taken += count
    if (this.#taken > this.#limit) throw refused(`is larger than ${this.#limit} bytes`)
  }
}

export const refused = (what: string): KeylimeError => new KeylimeError('archive_refused', `the archive ${what}`)
