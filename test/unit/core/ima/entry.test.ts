import fc from 'fast-check'
import { parseEntry, readEntry, templateHash } from '../../../../src/core/ima/entry.ts'
import { imaLine, imaVector } from '../../../ima.ts'
import { runs } from '../../../thorough.ts'

const lines = ['entries.txt', 'signatures.txt', 'keyring.txt'].flatMap((file) => imaVector(file).toString().split('\n').filter(Boolean))

test.each(lines.map((line) => [line.slice(0, 70), line]))('%s… has the template hash that its kernel computed', (_start, line) => {
  const entry = parseEntry(line)
  expect(templateHash('sha1', entry.data)).toBe(entry.column)
})

/** Field data of the kernel: a length, little endian, and the bytes. */
const field = (...parts: (string | Buffer)[]) => {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
  const size = Buffer.alloc(4)
  size.writeUInt32LE(bytes.length)
  return Buffer.concat([size, bytes])
}
const D = Buffer.alloc(32, 0xd1)
const hexD = D.toString('hex')

test.each<[string, string, Buffer[]]>([
  ['ima-ngv2', `ima-ngv2 ima:sha256:${hexD} /bin/a b`, [field('ima:sha256:\0', D), field('/bin/a b\0')]],
  ['ima-ngv2 of fs-verity', `ima-ngv2 verity:sha256:${hexD} /bin/a`, [field('verity:sha256:\0', D), field('/bin/a\0')]],
  ['ima-sigv2', `ima-sigv2 ima:sha256:${hexD} /bin/a 0302`, [field('ima:sha256:\0', D), field('/bin/a\0'), field(Buffer.from([3, 2]))]],
  ['ima-sig of a path with a blank', `ima-sig sha256:${hexD} /bin/a b `, [field('sha256:\0', D), field('/bin/a b\0'), field('')]],
  [
    'ima-modsig',
    `ima-modsig sha256:${hexD} /m.ko  sha256:${hexD} 3082`,
    [field('sha256:\0', D), field('/m.ko\0'), field(''), field('sha256:\0', D), field(Buffer.from([0x30, 0x82]))],
  ],
  [
    'ima-modsig without a signature',
    `ima-modsig sha256:${hexD} /m.ko   `,
    [field('sha256:\0', D), field('/m.ko\0'), field(''), field(''), field('')],
  ],
  ['ima-sig whose last blank was cut', `ima-sig sha256:${hexD} /x`, [field('sha256:\0', D), field('/x\0'), field('')]],
  [
    'ima-modsig whose last blanks were cut',
    `ima-modsig sha256:${hexD} /m.ko`,
    [field('sha256:\0', D), field('/m.ko\0'), field(''), field(''), field('')],
  ],
  [
    'evm-sig',
    `evm-sig sha256:${hexD} /x 0502 security.selinux|security.ima 0a000000 aabb 1000 100 33261`,
    [
      field('sha256:\0', D),
      field('/x\0'),
      field(Buffer.from([5, 2])),
      field('security.selinux|security.ima\0'),
      field(Buffer.from([10, 0, 0, 0])),
      field(Buffer.from([0xaa, 0xbb])),
      field(Buffer.from([0xe8, 3, 0, 0])),
      field(Buffer.from([100, 0, 0, 0])),
      field(Buffer.from([0xed, 0x81])),
    ],
  ],
  [
    'boot_aggregate of evm-sig, which is of no file',
    `evm-sig sha256:${hexD} boot_aggregate  (null)     `,
    [field('sha256:\0', D), field('boot_aggregate\0'), ...Array.from({ length: 7 }, () => field(''))],
  ],
  [
    'a template of one’s own',
    `d-ngv2|n-ng|igid|sig verity:sha256:${hexD} /x 7 0302`,
    [field('verity:sha256:\0', D), field('/x\0'), field(Buffer.from([7, 0, 0, 0])), field(Buffer.from([3, 2]))],
  ],
  ['the two oldest fields in one’s own template', `d|n ${'ab'.repeat(20)} /x`, [field(Buffer.alloc(20, 0xab)), field('/x\0')]],
  [
    'a path that is not UTF-8',
    `ima-ng sha256:${hexD} /bin/\udcff\udc80ä`,
    [field('sha256:\0', D), field(Buffer.concat([Buffer.from('/bin/'), Buffer.from([0xff, 0x80]), Buffer.from('ä\0')]))],
  ],
  ['a path that is not ASCII', `ima-ng sha256:${hexD} /bin/ä`, [field('sha256:\0', D), field('/bin/ä\0')]],
])('%s is encoded as the kernel encodes it', (_name, fields, parts) => {
  expect(parseEntry(`10 00 ${fields}`).data).toEqual(Buffer.concat(parts))
})

test.each([
  ['an empty line', ''],
  ['text', 'this is text not an ima entry'],
  ['an unknown template', `10 00 not-ima sha1:${'0'.repeat(40)} /x`],
  ['a template named like a member of every object', `10 00 constructor sha1:${'0'.repeat(40)} /x`],
  ['a template hash that is no hex', `10 I0 ima-ng sha1:${'0'.repeat(40)} /x`],
  ['an odd template hash', `10 000 ima-ng sha1:${'0'.repeat(40)} /x`],
  ['a digest that is no hex', `10 00 ima-ng sha1:I${'0'.repeat(39)} /x`],
  ['a digest of three parts', `10 00 ima-ng a:sha1:${'0'.repeat(40)} /x`],
  ['no digest', '10 00 ima-ng  /x'],
  ['no path', `10 00 ima-ng sha1:${'0'.repeat(40)}`],
  ['a custom template without a digest', '10 00 n-ng|sig /x '],
  ['a custom template whose digest is not the first field', `10 00 n-ng|d-ng /x sha256:${hexD}`],
  ['a custom template with an unknown field', `10 00 d-ng|n-ng|odd sha256:${hexD} /x 00`],
  ['a custom template of too many fields', `10 00 d-ng|n-ng${'|sig'.repeat(15)} sha256:${hexD} /x`],
  ['a bare digest of a custom template that is too long', `10 00 d|n ${hexD} /x`],
  ['a number that is too large', `10 00 d-ng|n-ng|imode sha256:${hexD} /x 65536`],
  ['an ima-sig line whose signature is no hex', `10 00 ima-sig sha256:${hexD} /x y z`],
  ['a v2 digest without a type', `10 00 ima-ngv2 sha256:${hexD} /x`],
  ['a path of the oldest template that is too long', `10 00 ima ${'0'.repeat(40)} /${'x'.repeat(255)}`],
  ['a name of an attribute with a NUL', `10 00 d-ng|n-ng|xattrnames sha256:${hexD} /x a\0b`],
  ['a line of 2 MB', `10 00 ima-ng sha256:${hexD} /${'x'.repeat(2 << 20)}`],
])('%s is not read', (_name, line) => {
  expect(typeof readEntry(line)).toBe('string')
  expect(() => parseEntry(line)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test.each([
  ['ima-buf', 'the name of the buffer is missing'],
  ['ima-sig', 'the path is missing'],
  ['d-ng|n-ng', 'the path is missing'],
])('a line of %s that ends behind its digest is told as what it is', (template, reason) => {
  expect(readEntry(`10 00 ${template} sha256:${hexD}`)).toBe(reason)
})

test('a buffer without content keeps its name', () => {
  expect(parseEntry(`10 00 ima-buf sha256:${hexD} kexec-cmdline`)).toMatchObject({ name: 'kexec-cmdline', extra: Buffer.alloc(0) })
})

test('the signature of a template of one’s own is found among its fields', () => {
  const extraOf = (template: string, rest: string) => parseEntry(`10 00 ${template} sha256:${hexD} /x ${rest}`).extra.toString('hex')
  expect(extraOf('d-ng|n-ng|iuid|sig|igid', '1 0302 2')).toBe('0302')
  expect(extraOf('d-ng|n-ng|iuid|igid', '1 2')).toBe('')
})

test('a name of 64 kB, with quotes, backslashes and control characters, is read and hashed as it is', () => {
  const name = `/${'\\ "\x01'.repeat(16_000)}`
  expect(parseEntry(imaLine(`ima-ng sha256:${hexD} ${name}`)).name).toBe(name)
})

test('any entry that can be written can be read back', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }).filter((text) => !/[\n\0]/.test(text) && text.isWellFormed())
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 20, maxLength: 64 }), name, fc.uint8Array({ maxLength: 300 }), (digest, path, signature) => {
      const [d, s] = [Buffer.from(digest).toString('hex'), Buffer.from(signature).toString('hex')]
      expect(parseEntry(`10 00 ima-ng sha256:${d} ${path}`)).toMatchObject({ digest: d, name: path })
      expect(parseEntry(`10 00 ima-sig sha256:${d} ${path} ${s}`)).toMatchObject({ digest: d, name: path, extra: Buffer.from(s, 'hex') })
    }),
  )
})

test('random lines are read, or refused in words, never more', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (line) => {
      const read = readEntry(`10 00 ima-sig ${line}`)
      if (typeof read === 'string') expect(read).not.toBe('')
      else expect(line).toContain(` ${read.name}`)
    }),
    { numRuns: runs(500, 150) },
  )
})
