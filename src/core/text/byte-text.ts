/**
 * Bytes as text, and back without loss: UTF-8, and each byte that is none stands as the lone surrogate U+DC80 to U+DCFF, as Python's `surrogateescape` has it. JSON holds
 * such a text as `\udcff`, so a policy can list a file whose name is not UTF-8.
 */
export function decodeBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const text = buffer.toString('utf8')
  if (!text.includes('\ufffd')) return text
  const parts: string[] = []
  for (let at = 0; at < buffer.length; ) {
    const newline = buffer.indexOf(0x0a, at)
    const end = newline < 0 ? buffer.length : newline + 1
    parts.push(decodeLine(buffer.subarray(at, end)))
    at = end
  }
  return parts.join('')
}

/** The inverse of `decodeBytes`. Other lone surrogates, which no bytes are decoded to, become U+FFFD. */
export function encodeBytes(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8')
  const parts: Buffer[] = []
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0xd800 && code < 0xdc00 && isLow(text.charCodeAt(i + 1))) i++
    else if (code >= 0xdc80 && code <= 0xdcff) {
      parts.push(Buffer.from(text.slice(from, i), 'utf8'), Buffer.from([code & 0xff]))
      from = i + 1
    }
  }
  return Buffer.concat([...parts, Buffer.from(text.slice(from), 'utf8')])
}

const isLow = (code: number) => code >= 0xdc00 && code < 0xe000

function decodeLine(line: Buffer): string {
  const text = line.toString('utf8')
  if (Buffer.from(text, 'utf8').equals(line)) return text
  let out = ''
  for (let at = 0; at < line.length; ) {
    const size = sequenceSize(line, at)
    out += size > 0 ? line.toString('utf8', at, at + size) : String.fromCharCode(0xdc00 | line[at]!)
    at += Math.max(1, size)
  }
  return out
}

/** Bytes of the character of UTF-8 that begins here; 0 when none does. */
function sequenceSize(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  const size =
    first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0
  if (size === 0 || at + size > bytes.length) return 0
  const sequence = bytes.subarray(at, at + size)
  return Buffer.from(sequence.toString('utf8'), 'utf8').equals(sequence) ? size : 0
}
