import { readBitString, readElement, readOid, readTime } from '../../../../src/core/pki/der.ts'
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
