import { endOfText, QUOTE } from './bounded-json.ts'

/** A text of more bytes than this is decoded where it stands. */
const LARGE_BYTES = 1 << 20
/** So many of them at a time: what is so small is collected at once, where larger pieces would gather. */
const PIECE_BYTES = 32 << 10
const BACKSLASH = 0x5c
const LETTER_U = 0x75
/** Of `\u0000`, and of any other escape. */
const [CODE_LENGTH, ESCAPE_LENGTH] = [6, 2]
/** Stands in the small rest for a large text. Whoever writes it himself gets a large text of his own. */
const MARK = '\u0000large text '

/**
 * `JSON.parse` of UTF-8 whose large texts never exist twice: each is unescaped in its own bytes, which are overwritten, and only then made a text. A parser
 * would need the whole as a text beside them; in a measurement list of 45 MiB that is as much again. Half a pair of surrogates becomes U+FFFD.
 * @param bytes worthless afterwards. @throws SyntaxError.
 */
export function parseInPlace(bytes: Buffer, largeBytes = LARGE_BYTES): unknown {
  if (bytes.length <= largeBytes) return JSON.parse(bytes.toString('utf8'))
  const large: string[] = []
  let rest = ''
  let copied = 0
  for (let start = bytes.indexOf(QUOTE); start >= 0; ) {
    const end = endOfText(bytes, start + 1)
    if (end - start > largeBytes && end < bytes.length) {
      rest += `${bytes.toString('utf8', copied, start)}${JSON.stringify(MARK + large.length)}`
      large.push(unescaped(bytes.subarray(start + 1, end), Math.min(largeBytes, PIECE_BYTES)))
      copied = end + 1
    }
    start = bytes.indexOf(QUOTE, end + 1)
  }
  const value: unknown = JSON.parse(rest + bytes.toString('utf8', copied))
  return large.length === 0 ? value : restored(value, large)
}

/** The text between two quotes; the bytes are overwritten. */
function unescaped(bytes: Buffer, pieceBytes: number): string {
  let written = 0
  for (let start = 0; start < bytes.length; ) {
    const end = endOfPiece(bytes, start, start + pieceBytes)
    const piece = parseText(bytes.subarray(start, end))
    // Bytes that are no UTF-8 may need more room than they have.
    if (Buffer.byteLength(piece) > end - written)
      return bytes.toString('utf8', 0, written) + parseText(bytes.subarray(start)).toWellFormed()
    written += bytes.write(piece, written, 'utf8')
    start = end
  }
  return bytes.toString('utf8', 0, written)
}

/** @throws SyntaxError */
const parseText = (content: Buffer): string => JSON.parse(`"${content.toString('utf8')}"`)

/** The first place from `least` on that cuts no escape, no character, and no pair of escapes in two. */
function endOfPiece(bytes: Buffer, start: number, least: number): number {
  let at = start
  let isCode = false
  while (at < bytes.length && (at < least || isCode || isInsideCharacter(bytes[at]!))) {
    const isEscape = bytes[at] === BACKSLASH
    isCode = isEscape && bytes[at + 1] === LETTER_U
    at += isCode ? CODE_LENGTH : isEscape ? ESCAPE_LENGTH : 1
  }
  return Math.min(at, bytes.length)
}

/** A byte of UTF-8 that is not the first of its character. */
const isInsideCharacter = (byte: number) => (byte & 0xc0) === 0x80

function restored(value: unknown, large: readonly string[]): unknown {
  const text = (given: string) => (given.startsWith(MARK) ? (large[Number(given.slice(MARK.length))] ?? given) : given)
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((member) => restored(member, large))
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [text(name), restored(member, large)]))
}
