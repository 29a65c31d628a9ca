import { readElement } from '../../../../src/core/pki/der.ts'
import { derOid } from '../../../../src/core/pki/der-writer.ts'
import { attributeOf, formatName, parseName, upstreamSubject } from '../../../../src/core/pki/names.ts'
import { der } from './fixtures.ts'

const attribute = (type: string, tag: number, hex: string) => der(0x30, derOid(type), der(tag, Buffer.from(hex, 'hex')))
const nameOf = (...rdns: Buffer[][]) => parseName(readElement(der(0x30, ...rdns.map((rdn) => der(0x31, ...rdn)))))
const text = (value: string, tag = 0x0c, encoding: BufferEncoding = 'utf8') => [
  attribute('2.5.4.3', tag, Buffer.from(value, encoding).toString('hex')),
]

test.each([
  ['a UTF8String', 0x0c, 'c3a9', 'é'],
  ['a PrintableString', 0x13, '4142', 'AB'],
  ['a TeletexString', 0x14, 'e9', 'é'],
  ['an IA5String', 0x16, '4142', 'AB'],
  ['a BMPString', 0x1e, '004120ac', 'A€'],
  ['a BMPString that is cut', 0x1e, '004120', 'A'],
  ['a UniversalString', 0x1c, '000000410001f600', 'A😀'],
  ['a UniversalString that is cut', 0x1c, '0000004100', 'A'],
  ['a UniversalString with what is no character', 0x1c, '00000041001100000010ffff', 'A\u{10ffff}'],
  ['a UniversalString that is very long', 0x1c, '00000041'.repeat(257), 'A'.repeat(256)],
])('%s in a name is read', (_what, tag, hex, value) => {
  const name = nameOf([attribute('2.5.4.3', tag, hex)])
  expect([name.rdns, attributeOf(name, 'CN'), attributeOf(name, '2.5.4.3'), attributeOf(name, 'O')]).toEqual([
    [[{ oid: '2.5.4.3', value }]],
    value,
    value,
    undefined,
  ])
})

test.each([
  ['2.5.4.3', 'CN'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'STREET'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  ['1.2.3', '1.2.3'],
])('the attribute %s is written %s', (oid, short) => expect(formatName([[{ oid, value: 'x' }]])).toBe(`${short}=x`))

test.each([
  ['a,b', 'a\\,b'],
  ['#a#', '\\#a#'],
  [' a a ', '\\ a a\\ '],
  ['a\0b', 'a\\00b'],
])('the value %j is written %s', (value, written) => expect(formatName([[{ oid: '2.5.4.3', value }]])).toBe(`CN=${written}`))

test.each([
  ['case', text('Some CA'), text('SOME ca'), true],
  ['inner blanks', text('Some  CA'), text('Some CA'), true],
  ['blanks around', text(' Some CA '), text('Some CA'), true],
  ['the type of the string', text('Some CA'), text('Some CA', 0x13), true],
  ['compatible characters', text('Ⅸ'), text('IX'), true],
  ['whether there is a blank', text('Some CA'), text('SomeCA'), false],
  ['another kind of attribute', text('x'), [attribute('2.5.4.10', 0x0c, '78')], false],
])('of names that differ in %s', (_what, one, other, same) => expect(nameOf(one).matchKey === nameOf(other).matchKey).toBe(same))

test('the order counts between parts of a name and not inside of one', () => {
  const [a, b] = [text('a')[0]!, attribute('2.5.4.10', 0x0c, '62')]
  expect(nameOf([a, b]).matchKey).toBe(nameOf([b, a]).matchKey)
  expect(nameOf([a], [b]).matchKey).not.toBe(nameOf([b], [a]).matchKey)
})

test.each([
  ['no SEQUENCE', der(0x31), /a name is missing/],
  ['a part that is no SET', der(0x30, der(0x30)), /a part of a name/],
  ['an attribute that is no SEQUENCE', der(0x30, der(0x31, der(0x0c))), /an attribute of a name is missing/],
  ['an attribute without a value', der(0x30, der(0x31, der(0x30, derOid('2.5.4.3')))), /has no type or no value/],
  ['an empty attribute', der(0x30, der(0x31, der(0x30))), /has no type or no value/],
])('%s is no name', (_what, bytes, message) => {
  expect(() => parseName(readElement(bytes))).toThrow(
    expect.objectContaining({ code: 'malformed', message: expect.stringMatching(message) }),
  )
})

test('of upstream’s subject what is empty is left out', () => {
  const none = { country: '', state: '', locality: '', organization: '', organizationUnit: '' }
  expect(upstreamSubject('x', { ...none, organization: 'O' })).toEqual([
    { oid: '2.5.4.3', value: 'x' },
    { oid: '2.5.4.10', value: 'O' },
  ])
})
