import { KeylimeError } from '../../core/errors.ts'

/** Each piece costs as much memory as some hundred bytes, and as much time as some thousand: who sends byte by byte is cut off long before its bytes are too many. */
const MOST_SMALL_PIECES = 4096
const SMALL_BYTES = 256

/** What comes of a body, piece by piece. */
export class Pieces {
  readonly #pieces: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }
  /** @throws KeylimeError `invalid_request` when it comes in too many small pieces. */
  add(piece: Buffer): void {
    this.#length += piece.length
    if (this.#pieces.push(piece) > MOST_SMALL_PIECES + this.#length / SMALL_BYTES)
      throw new KeylimeError('invalid_request', 'it comes in too many small pieces')
  }
  all(): Buffer {
    return Buffer.concat(this.#pieces, this.#length)
  }
}
