import { isBinaryList, readBinaryList } from '../../../../src/core/ima/binary-list.ts'

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const sized = (bytes: Buffer | string) => Buffer.concat([u32(bytes.length), Buffer.from(bytes)])
const fields = (...parts: (Buffer | string)[]) => Buffer.concat(parts.map(sized))
const HASH = Buffer.alloc(20, 0xaa)
const entry = (template: string, data: Buffer, { pcr = 10, hash = HASH } = {}) =>
  Buffer.concat([u32(pcr), hash, sized(template), sized(data)])
const digest = Buffer.concat([Buffer.from('sha256:\0'), Buffer.alloc(32, 0xbb)])
const DIGEST = `sha256:${'bb'.repeat(32)}`
const HEAD = `10 ${'aa'.repeat(20)}`
const lines = (...entries: Buffer[]) => [...readBinaryList(Buffer.concat(entries))]

test.each<[string, Buffer, string]>([
  ['ima-ng', fields(digest, '/bin/a\0'), `${DIGEST} /bin/a`],
  ['ima-ng', fields(digest, '/bin/a'), `${DIGEST} /bin/a`],
  ['ima-ng', fields(Buffer.concat([Buffer.from('\0'), Buffer.alloc(32, 0xbb)]), '/bin/a\0'), `${'bb'.repeat(32)} /bin/a`],
  ['ima-sig', fields(digest, '/bin/a\0', Buffer.from([3, 2])), `${DIGEST} /bin/a 0302`],
  ['ima-sig', fields(digest, '/bin/a\0', ''), `${DIGEST} /bin/a `],
  ['ima-buf', fields(digest, 'ring\0', Buffer.from([0, 1, 255])), `${DIGEST} ring 0001ff`],
  ['d-ng|n-ng|iuid', fields(digest, 'x\0', u32(1000)), `${DIGEST} x 1000`],
  ['d-ng|n-ng|imode', fields(digest, 'x\0', Buffer.from([0xa4, 0x81])), `${DIGEST} x 33188`],
  ['d-ng|n-ng|igid', fields(digest, 'x\0', ''), `${DIGEST} x `],
  ['d-ng|n-ng|iuid', fields(digest, 'x\0', Buffer.alloc(5, 1)), `${DIGEST} x `],
  ['d-ng|xattrnames', fields(digest, 'security.ima\0'), `${DIGEST} security.ima`],
])('an entry of %s is the line that the kernel prints', (template, data, text) => {
  expect(lines(entry(template, data))).toEqual([`${HEAD} ${template} ${text}`])
})

test('the oldest template has a bare digest and a name', () => {
  const oldest = Buffer.concat([u32(10), HASH, sized('ima'), Buffer.alloc(20, 0xcc), sized('/bin/a')])
  expect(lines(oldest, oldest)).toEqual(Array(2).fill(`${HEAD} ima ${'cc'.repeat(20)} /bin/a`))
})

test.each([20, 32, 48, 64])('template hashes of %d bytes are found by the template behind them', (size) => {
  const hash = Buffer.alloc(size, 0xdd)
  const data = fields(digest, 'x\0')
  expect(lines(entry('ima-ng', data, { hash }), entry('ima-ng', data, { hash, pcr: 11 }))).toEqual([
    `10 ${'dd'.repeat(size)} ima-ng ${DIGEST} x`,
    `11 ${'dd'.repeat(size)} ima-ng ${DIGEST} x`,
  ])
})

const good = entry('ima-ng', fields(digest, 'x\0'))
test.each<[string, Buffer]>([
  ['a name', entry('ima-ng', fields(digest, `/x\n${HEAD} ima-ng ${DIGEST} /bin/evil\0`))],
  ['a name of the oldest template', Buffer.concat([u32(10), HASH, sized('ima'), Buffer.alloc(20), sized('/x\ny')])],
  ['the algorithm of a digest', entry('ima-ng', fields(Buffer.concat([Buffer.from('sha\n256:\0'), Buffer.alloc(32)]), '/x\0'))],
  ['the name of a template', entry('d-ng|n-ng|x\n10', fields(digest, '/x\0', ''))],
])('a line in %s makes no entry of its own: anybody may name a file', (_where, bytes) => {
  expect(() => lines(entry('ima-ng', fields(digest, '/bin/a\0')), bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test.each<[string, Buffer, RegExp]>([
  ['big-endian numbers', Buffer.from(good).fill(Buffer.from([0, 0, 0, 10]), 0, 4), /big-endian/],
  ['no template', Buffer.concat([u32(10), HASH]), /entry 1 has no template that is known/],
  ['a template that nobody knows', entry('ima-new', fields(digest)), /entry 1 has no template that is known/],
  [
    'such a template later',
    Buffer.concat([good, entry(`ima-${'n'.repeat(60)}`, fields(digest))]),
    /entry 2 has the template "ima-n{36}", which is not known/,
  ],
  ['an end too early', good.subarray(0, -1), /entry 1 is cut off/],
  ['a second entry that ends too early', Buffer.concat([good, good.subarray(0, 10)]), /entry 2 is cut off/],
  ['a field too many', entry('ima-ng', fields(digest, 'x\0', 'y')), /entry 1 has more fields than its template/],
  ['a field too few', entry('ima-ng', fields(digest)), /entry 1 is cut off/],
])('a list with %s is malformed, and it is said where', (_what, bytes, reason) => {
  expect(() => lines(bytes)).toThrow(expect.objectContaining({ code: 'malformed', message: expect.stringMatching(reason) }))
})

test.each<[string, boolean]>([
  ['0a000000', true],
  ['17000000', true],
  ['18000000', false],
  ['0000000a', true],
  ['00000018', false],
  ['0a0000', false],
  ['31302030', false],
])('bytes that begin with %s are a binary list: %p', (hex, answer) => expect(isBinaryList(Buffer.from(hex, 'hex'))).toBe(answer))
