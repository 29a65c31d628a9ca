import zlib from 'node:zlib'
import { KeylimeError } from '../../core/errors.ts'

/** Digests have no patterns to search for: more work makes a measurement list larger, not smaller. */
const FASTEST = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }
/** Characters that are made into text and compressed at a time: a list of many megabytes is never copied as a whole, and what is so small is collected at once. */
const PIECE = 64 << 10
/** Before each frame: its length. */
const LENGTH_BYTES = 4
/** How a frame begins (RFC 8878, section 3.1.1): databases of the first release hold a single one without a length. */
const ZSTD_MAGIC = 0xfd2fb528

/** JSON of `value` in compressed frames. @returns null when they have more than `maxBytes`. */
export function packJson(value: unknown, maxBytes: number): Buffer<ArrayBuffer> | null {
  const parts: Buffer[] = []
  let size = 0
  for (const piece of inPieces(jsonOf(value))) {
    const frame = zlib.zstdCompressSync(piece, FASTEST)
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32LE(frame.length)
    size += LENGTH_BYTES + frame.length
    if (size > maxBytes) return null
    parts.push(length, frame)
  }
  const packed = Buffer.from(new ArrayBuffer(size)) // of its own: it goes to another thread
  for (let i = 0, at = 0; i < parts.length; i++) at += parts[i]!.copy(packed, at)
  return packed
}

/** What `packJson` was given. @throws KeylimeError `invalid_request` for bytes that it did not make, or with more than `maxUnpacked` behind them. */
export function unpackJson(packed: Uint8Array, maxUnpacked: number): unknown {
  try {
    return JSON.parse(
      Buffer.concat(unpackFrames(Buffer.from(packed.buffer, packed.byteOffset, packed.length), maxUnpacked)).toString('utf8'),
    )
  } catch (cause) {
    throw new KeylimeError('invalid_request', `the packed text cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function unpackFrames(packed: Buffer, maxUnpacked: number): Buffer[] {
  const frames: Buffer[] = []
  let left = maxUnpacked
  if (packed.readUInt32LE(0) === ZSTD_MAGIC) return [zlib.zstdDecompressSync(packed, { maxOutputLength: left })]
  for (let at = 0; at < packed.length; ) {
    const end = at + LENGTH_BYTES + packed.readUInt32LE(at)
    if (end > packed.length) throw new Error('a frame is not whole')
    const frame = zlib.zstdDecompressSync(packed.subarray(at + LENGTH_BYTES, end), { maxOutputLength: left })
    left -= frame.length
    frames.push(frame)
    at = end
  }
  return frames
}

function* inPieces(texts: Iterable<string>): Generator<string> {
  let piece = ''
  for (const text of texts) {
    piece += text
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
  }
  yield piece
}

/** `JSON.stringify(value)` in parts, each short. A pair of surrogates that is cut in two comes as two escapes, which a parser puts together again. */
function* jsonOf(value: unknown): Generator<string> {
  if (typeof value === 'string' && value.length > PIECE) {
    yield '"'
    for (let at = 0; at < value.length; at += PIECE) yield JSON.stringify(value.slice(at, at + PIECE)).slice(1, -1)
    yield '"'
  } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    let mark = '{'
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue
      yield `${mark}${JSON.stringify(name)}:`
      yield* jsonOf(member)
      mark = ','
    }
    yield mark === '{' ? '{}' : '}'
  } else yield JSON.stringify(value)
}
