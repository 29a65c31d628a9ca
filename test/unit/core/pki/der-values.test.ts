import { readBitString, readElement, readInteger, readOid, readTime } from '../../../../src/core/pki/der.ts'
import { der, derInteger, derOid } from '../../../../src/core/pki/der-writer.ts'

const malformed = (message: RegExp) => expect.objectContaining({ code: 'malformed', message: expect.stringMatching(message) })
const time = (tag: 'utc' | 'long', text: string) => readElement(der(tag === 'utc' ? 0x17 : 0x18, Buffer.from(text)))

// As OpenSSL's asn1parse has them.
test.each([
  ['1.2.840.113549.1.1.11', '2a864886f70d01010b'],
  ['2.5.4.3', '550403'],
  ['1.2.127', '2a7f'],
  ['1.2.128', '2a8100'],
  ['1.2.255', '2a817f'],
  ['1.2.256', '2a8200'],
  ['1.2.16383', '2aff7f'],
  ['1.2.16384', '2a818000'],
  ['1.3.6.1.4.1.4294967296', '2b060104019080808000'],
])('the OID %s is %s, and is read back', (dotted, hex) => {
  expect(derOid(dotted).subarray(2).toString('hex')).toBe(hex)
  expect(readOid(readElement(derOid(dotted)))).toBe(dotted)
})

test.each([
  ['utc', '260601120305Z', '2026-06-01T12:03:05.000Z'],
  ['utc', '2606011203Z', '2026-06-01T12:03:00.000Z'],
  ['utc', '491231235959Z', '2049-12-31T23:59:59.000Z'],
  ['utc', '500101000000Z', '1950-01-01T00:00:00.000Z'],
  ['long', '20260601120305Z', '2026-06-01T12:03:05.000Z'],
  ['long', '202606011203Z', '2026-06-01T12:03:00.000Z'],
  ['long', '20260601120305.25Z', '2026-06-01T12:03:05.000Z'],
  ['long', '00500101000000Z', '0050-01-01T00:00:00.000Z'],
] as const)('the %s time %s is %s', (tag, text, iso) => expect(new Date(readTime(time(tag, text))).toISOString()).toBe(iso))

test.each([
  ['utc', '20260601120305Z'],
  ['utc', '260601120305'],
  ['utc', '260601120305+0100'],
  ['long', '20260601120305.Z'],
  ['long', 'x20260601120305Z'],
  ['long', '20260601120305Zx'],
  ['utc', 'x260601120305Z'],
  ['utc', '260601120305Zx'],
  ['utc', ''],
] as const)('the %s time %j is malformed', (tag, text) => expect(() => readTime(time(tag, text))).toThrow(malformed(/is not of the form/)))

test('what is no date, or nothing, is malformed', () => {
  expect(() => readTime(time('utc', '260230000000Z'))).toThrow(malformed(/there is no date 260230000000Z/))
  expect(() => readTime(undefined)).toThrow(malformed(/is not of the form/))
})

test.each(['', '08', 'ff00'])('the bit string %j has no valid first byte', (hex) =>
  expect(() => readBitString(readElement(der(0x03, Buffer.from(hex, 'hex'))))).toThrow(malformed(/no valid first byte/)),
)

test('seven bits of a bit string may be unused', () => {
  expect(readBitString(readElement(der(0x03, Buffer.from('0780', 'hex'))))).toEqual(Buffer.from([0x80]))
})

test.each([
  [0n, '020100'],
  [0x7fn, '02017f'],
  [0x80n, '02020080'],
  [0xffn, '020200ff'],
  [0x100n, '02020100'],
  [0x8000n, '0203008000'],
])('the integer %s is %s', (value, hex) => expect(derInteger(value).toString('hex')).toBe(hex))

test.each<[string, () => unknown, RegExp]>([
  ['no element', () => readElement(Buffer.alloc(0)), /end too early/],
  ['a tag without a length', () => readElement(Buffer.from('30', 'hex')), /end too early/],
  ['a content that is cut', () => readElement(Buffer.from('040201', 'hex')), /end too early/],
  ['a length that is cut', () => readElement(Buffer.from('048201', 'hex')), /end too early/],
  ['an indefinite length', () => readElement(Buffer.from('30800000', 'hex')), /indefinite form or over 4 bytes/],
  ['a length of five bytes', () => readElement(Buffer.from('0485000000000100', 'hex')), /indefinite form or over 4 bytes/],
  ['a tag number over 30', () => readElement(Buffer.from('1f200100', 'hex')), /tag numbers over 30/],
  ['an empty OID', () => readOid(readElement(Buffer.from('0600', 'hex'))), /an object identifier is empty/],
  ['an empty integer', () => readInteger(readElement(Buffer.from('0200', 'hex'))), /an integer is empty/],
  ['a text for an integer', () => readInteger(readElement(Buffer.from('0c0131', 'hex'))), /an integer is missing or of another ASN.1 type/],
  ['no integer', () => readInteger(undefined), /an integer is missing/],
])('%s is malformed', (_what, read, message) => expect(read).toThrow(malformed(message)))

test.each([
  ['040161', 0, '61'],
  ['04810161', 0, '61'],
  ['048400000001ff', 0, 'ff'],
  ['05000401610500', 2, '61'],
])('of %s the element at %d has the content %s', (hex, offset, content) => {
  expect(readElement(Buffer.from(hex, 'hex'), offset).content.toString('hex')).toBe(content)
})

test.each([
  ['00', 0n],
  ['7f', 127n],
  ['80', -128n],
  ['ff', -1n],
  ['0080', 128n],
  ['ff7f', -129n],
])('the integer %s is %s', (hex, value) => expect(readInteger(readElement(der(0x02, Buffer.from(hex, 'hex'))))).toBe(value))

test.each([
  ['0', '0.0'],
  ['27', '0.39'],
  ['28', '1.0'],
  ['4f', '1.39'],
  ['50', '2.0'],
  ['8837', '2.999'],
])('the OID of the bytes %s is %s', (hex, dotted) =>
  expect(readOid(readElement(der(0x06, Buffer.from(hex.padStart(2, '0'), 'hex'))))).toBe(dotted),
)
