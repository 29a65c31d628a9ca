import { type ArchiveEntry, DEFAULT_ARCHIVE_LIMITS, looksLikeZip, planArchive } from '../../../../src/core/payload/archive-plan.ts'
import { printable } from '../../../../src/core/printable.ts'

const UNIX = 3 << 8
const entry = (name: string, changes: Partial<ArchiveEntry> = {}): ArchiveEntry => ({
  name: Buffer.from(name),
  compressedSize: 1,
  uncompressedSize: 1,
  generalPurposeFlags: 0,
  compressionMethod: 0,
  versionMadeBy: UNIX,
  externalAttributes: 0,
  ...changes,
})
const unix = (mode: number) => ({ externalAttributes: mode * 2 ** 16 })
const plan = (entries: readonly ArchiveEntry[], limits = {}) => planArchive(entries, { ...DEFAULT_ARCHIVE_LIMITS, ...limits })
const many = (count: number) => Array.from({ length: count }, (_, i) => entry(`f${i}`))
const deep = (parts: number) => entry(Array.from({ length: parts }, () => 'd').join('/'))
/** A name of so many bytes, of parts that are short enough. */
const longName = (bytes: number) =>
  'a/'
    .repeat(8)
    .padEnd(bytes, `${'x'.repeat(199)}/`.repeat(6))
    .replace(/\/$/, 'y')
const MIB = 1 << 20

test.each<[string, ArchiveEntry[], ArchiveEntry[], RegExp]>([
  ['entries', many(4096), many(4097), /4097 entries, at most 4096/],
  [
    'bytes',
    [entry('a', { uncompressedSize: 64 * MIB, compressedSize: MIB })],
    [entry('a', { uncompressedSize: 64 * MIB + 1, compressedSize: MIB })],
    /at most 67108864 are allowed/,
  ],
  [
    'bytes of one byte each',
    [entry('a', { uncompressedSize: MIB, compressedSize: 1 })],
    [entry('a', { uncompressedSize: MIB + 1, compressedSize: 1 })],
    /at most 200-fold/,
  ],
  [
    'growth',
    [entry('a', { uncompressedSize: 200 * 10_000, compressedSize: 10_000 })],
    [entry('a', { uncompressedSize: 200 * 10_000 + 1, compressedSize: 10_000 })],
    /it grows 200-fold, at most 200-fold/,
  ],
  ['bytes of a part', [entry('x'.repeat(255))], [entry('x'.repeat(256))], /too long or too deep/],
  ['bytes of a part beyond ASCII', [entry('ä'.repeat(127))], [entry('ä'.repeat(128))], /too long or too deep/],
  ['bytes of one part of several', [entry(`d/${'x'.repeat(255)}`)], [entry(`d/${'x'.repeat(256)}`)], /too long or too deep/],
  ['bytes of a name', [entry(longName(1024))], [entry(longName(1025))], /too long or too deep/],
  ['parts', [deep(32)], [deep(33)], /too long or too deep/],
  ['methods', [entry('a'), entry('b', { compressionMethod: 8 })], [entry('a', { compressionMethod: 12 })], /compressed with method 12/],
])('as many %s as are allowed are taken, and not one more', (_what, most, tooMany, reason) => {
  expect(plan(most).files).toHaveLength(most.length)
  expect(() => plan(tooMany)).toThrow(expect.objectContaining({ code: 'archive_refused', message: expect.stringMatching(reason) }))
})

test.each<[string, ArchiveEntry]>([
  ['is refused for itself', entry(`\u202e\u2028/${'x'.repeat(300)}`)],
  ['is refused for what it is', entry(`\u202e\u2028/${'x'.repeat(200)}`, unix(0o120777))],
  ['is encrypted', entry(`\u202e\u2028/${'x'.repeat(200)}`, { generalPurposeFlags: 1 })],
  ['is no text', entry('', { name: Buffer.alloc(60_000, 0xff) })],
])('a name of whoever made the archive stays short and on its line where it %s', (_why, hostile) => {
  let message = ''
  try {
    plan([hostile])
  } catch (error) {
    message = (error as Error).message
  }
  expect(message).toMatch(/the archive is refused/)
  expect([message, printable(message), message.length < 300]).toEqual([message, message, true])
})

test('directories are counted, also those that only names imply', () => {
  const nested = (count: number) => Array.from({ length: count }, (_, i) => entry(`d${i}/f`))
  expect(plan(nested(4), { maxEntries: 4 }).directories).toHaveLength(4)
  expect(plan([entry('a/b/c/d/f'), entry('a/b/c/d/g')], { maxEntries: 4 }).directories).toHaveLength(4)
  const twoDeep = Array.from({ length: 4 }, (_, i) => entry(`d${i}/e/f`))
  expect(() => plan(twoDeep, { maxEntries: 4 })).toThrow(/over 4 directories/)
})

test.each([0x1, 0x40, 0x2000])('an entry that flag 0x%s says is encrypted is refused', (generalPurposeFlags) => {
  expect(() => plan([entry('a', { generalPurposeFlags })])).toThrow(/"a" is encrypted/)
})

test('other flags are let pass', () => {
  expect(plan([entry('a', { generalPurposeFlags: 0x0808 })]).files).toHaveLength(1)
})

test.each<[number, string]>([
  [1, 'a pipe'],
  [2, 'a device'],
  [4, 'a directory'],
  [6, 'a device'],
  [10, 'a link'],
  [12, 'a socket'],
  [15, 'of the unknown type 15'],
])('a file whose type is %d is refused, whoever says that he made it', (type, words) => {
  for (const versionMadeBy of [UNIX, 0]) {
    const odd = entry('a', { versionMadeBy, ...unix(type << 12) })
    expect(() => plan([odd])).toThrow(`"a" is ${words}: only files and directories are unpacked`)
  }
})

test('only a letter and a colon at its beginning make a name one of a drive, and a refusal shows the beginning of a name', () => {
  expect(plan([entry('at:noon'), entry('a/b:c')]).files).toHaveLength(2)
  expect(() => plan([entry(`C:${'x'.repeat(200)}`)])).toThrow(`the name "C:${'x'.repeat(98)}… (102 more characters)" is absolute`)
})

test('a directory that is said to be a file is refused', () => {
  expect(() => plan([entry('d/', unix(0o100644))])).toThrow('"d" is a file')
  expect(plan([entry('d/', unix(0o040755)), entry('e/')]).directories).toEqual(['d', 'e'])
})

test('a file may be run only if its owner may, on the system that made it', () => {
  const modeOf = (changes: Partial<ArchiveEntry>) => plan([entry('a', changes)]).files[0]!.mode
  expect(modeOf(unix(0o100700))).toBe(0o700)
  expect(modeOf(unix(0o100677))).toBe(0o600)
  expect(modeOf(unix(0o100))).toBe(0o700)
  expect(modeOf({ ...unix(0o100), versionMadeBy: 0 })).toBe(0o600)
})

test('a name that is a file and a directory is refused', () => {
  expect(() => plan([entry('a'), entry('a/b')])).toThrow('"a" is a file and a directory')
})

test('of one name the last file counts, in its place, and all bytes are counted', () => {
  const { files, totalBytes } = plan([entry('a'), entry('b'), entry('a', { uncompressedSize: 5 })])
  expect(files.map(({ name, index, size }) => [name, index, size])).toEqual([
    ['b', 1, 1],
    ['a', 2, 5],
  ])
  expect(totalBytes).toBe(7)
})

test.each([
  ['504b0304ff', true],
  ['504b0506', true],
  ['504b0102', false],
  ['504b03', false],
  ['', false],
])('bytes %s look like a zip: %p', (hex, answer) => expect(looksLikeZip(Buffer.from(hex, 'hex'))).toBe(answer))

test('who sends more than fits is told what to do, and only then', () => {
  const hintOf = (bad: ArchiveEntry) => {
    try {
      plan([bad])
    } catch (error) {
      return (error as { hint?: string }).hint
    }
    throw new Error('it was taken')
  }
  expect(hintOf(entry('a', { uncompressedSize: 65 * MIB, compressedSize: MIB }))).toBe('raise secure_size, or send less')
  expect(hintOf(entry('../a'))).toBeUndefined()
})
