/** Byte order marks, and how what follows them is encoded. */
const MARKS: readonly [mark: string, encoding: string][] = [
  ['efbbbf', 'utf-8'],
  ['fffe', 'utf-16le'],
  ['feff', 'utf-16be'],
]

/** Text of a file, in UTF-8 or with a byte order mark that says another encoding; the mark is no part of it. @param plain reads what has no mark. */
export function decodeText(bytes: Buffer, plain: (bytes: Buffer) => string = (buffer) => buffer.toString('utf8')): string {
  const [mark, encoding] = MARKS.find(([hex]) => bytes.subarray(0, 3).toString('hex').startsWith(hex)) ?? ['', 'utf-8']
  const content = bytes.subarray(mark.length / 2)
  return encoding === 'utf-8' ? plain(content) : new TextDecoder(encoding).decode(content)
}
