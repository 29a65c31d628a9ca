import { ByteStream } from '../../core/archive/byte-stream.ts'
import { compressionOf } from '../../core/archive/compression.ts'
import { KeylimeError } from '../../core/errors.ts'
import { isBinaryList, readBinaryList } from '../../core/ima/binary-list.ts'
import { decodeBytes } from '../../core/text/byte-text.ts'
import { decompress } from '../../io/files/decompress.ts'
import { MAX_ARCHIVE, naming, readable } from './sources/archive-limits.ts'

const NEWLINE = 0x0a
/** Lines that are kept one by one: of a million each would take as much memory again as it has characters. */
const LINES_AT_ONCE = 4096
const HINT = 'copy /sys/kernel/security/ima/ascii_runtime_measurements as it is'
/** Byte order marks, and the encodings that they are of. */
const MARKS: readonly [hex: string, encoding: string | null][] = [
  ['efbbbf', null],
  ['fffe', 'utf-16le'],
  ['feff', 'utf-16be'],
]
/** The PCR that a list begins with, in encodings that were not marked. */
const UNMARKED: readonly [hex: string, encoding: string][] = [
  ['31003000', 'utf-16le'],
  ['00310030', 'utf-16be'],
]

/**
 * Hands on the lines of a kernel's measurement list, without their ends, never all of them at once. Also of one that was compressed, that has the ends of lines or the encoding of another
 * system, whose blanks became tabs, or that is in the kernel's binary form: the template hashes say whether it is what it was.
 * @param tell for a note to people. @throws KeylimeError that names the file.
 */
export const eachImaLine = (file: string, use: (line: string) => void, tell: (note: string) => void = () => undefined): Promise<void> =>
  naming(file, () => eachLine(new ByteStream(readable(file), MAX_ARCHIVE), { file, use, tell }))

/** The list as the text that an agent sends. @throws KeylimeError that names the file. */
export async function readImaList(file: string): Promise<string> {
  const pieces: string[] = []
  let lines: string[] = []
  const close = () => {
    if (lines.length > 0) pieces.push(`${lines.join('\n')}\n`)
    lines = []
  }
  await eachImaLine(file, (line) => {
    if (lines.push(line) === LINES_AT_ONCE) close()
  })
  close()
  return pieces.join('')
}

interface Target {
  file: string
  use(line: string): void
  tell(note: string): void
}

async function eachLine(stream: ByteStream, target: Target): Promise<void> {
  try {
    const head = Buffer.from(await stream.peek(6))
    const compression = compressionOf(head)
    if (compression) return await eachLine(new ByteStream(decompress(compression, stream.rest()), MAX_ARCHIVE), target)
    if (isBinaryList(head)) return await eachBinary(stream, target)
    const begins = ([hex]: readonly [hex: string, encoding: string | null]) => head.toString('hex').startsWith(hex)
    const [mark, marked] = MARKS.find(begins) ?? ['', null]
    const encoding = marked ?? UNMARKED.find(begins)?.[1] ?? null
    await stream.skip(mark.length / 2)
    const mended = mendedLines(target)
    if (encoding) await eachDecoded(stream, encoding, mended)
    else await eachText(stream, target.file, mended)
  } finally {
    await stream.close()
  }
}

async function eachBinary(stream: ByteStream, { file, use, tell }: Target): Promise<void> {
  const pieces: Buffer[] = []
  for await (const piece of stream.rest()) pieces.push(piece)
  tell(`${file} is a list in binary form (binary_runtime_measurements): it is read as the text of ascii_runtime_measurements`)
  for (const line of readBinaryList(Buffer.concat(pieces))) use(line)
}

/** Undoes what editors and other systems do to lines, when the first line shows it. */
function mendedLines({ use }: Target): (line: string) => void {
  let [isFirst, hasReturns, hasTabs] = [true, false, false]
  return (line) => {
    if (isFirst) {
      hasReturns = line.endsWith('\r')
      hasTabs = /^\d+\t/.test(line)
      isFirst = false
    }
    const whole = hasReturns && line.endsWith('\r') ? line.slice(0, -1) : line
    use(hasTabs ? whole.replaceAll('\t', ' ') : whole)
  }
}

async function eachText(stream: ByteStream, file: string, use: (line: string) => void): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of stream.rest()) {
    if (piece.includes(0))
      throw new KeylimeError('invalid_request', `${file}: this is not an IMA list: it has bytes that no text has`, { hint: HINT })
    const end = piece.lastIndexOf(NEWLINE) + 1
    if (end === 0) rest = Buffer.concat([rest, piece])
    else {
      const lines = decodeBytes(Buffer.concat([rest, piece.subarray(0, end)])).split('\n')
      lines.pop()
      lines.forEach(use)
      rest = Buffer.from(piece.subarray(end))
    }
  }
  if (rest.length > 0) use(decodeBytes(rest))
}

async function eachDecoded(stream: ByteStream, encoding: string, use: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder(encoding)
  let rest = ''
  for await (const piece of stream.rest()) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop()!
    lines.forEach(use)
  }
  rest += decoder.decode()
  if (rest !== '') use(rest)
}
