import { StringDecoder } from 'node:string_decoder'

const PIECE_BYTES = 512 << 10

/** UTF-8 text as a JSON string, quotes included, in pieces of some hundred kilobytes: together they are what JSON.stringify gives. */
export function* jsonStringPieces(utf8: Buffer): Generator<Buffer> {
  const decoder = new StringDecoder('utf8') // a character may lie over the end of a piece
  yield Buffer.from('"')
  for (let at = 0; at < utf8.length; at += PIECE_BYTES) yield escaped(decoder.write(utf8.subarray(at, at + PIECE_BYTES)))
  yield escaped(decoder.end())
  yield Buffer.from('"')
}

const escaped = (text: string): Buffer => Buffer.from(JSON.stringify(text).slice(1, -1))
