import { derDefect } from '../../../../src/core/pki/der-defect.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

test.each([
  ['3000', undefined],
  ['0500', undefined],
  ['3003 020100', undefined],
  ['3003 0201 7f', undefined],
  ['3004 0202 0080', undefined],
  ['3004 0202 ff7f', undefined],
  ['3003 0101 00', undefined],
  ['3003 0101 ff', undefined],
  ['3106 020101 020102', undefined],
  ['3106 020101 020101', undefined],
  [`3082 0100 0481fd ${'00'.repeat(253)}`, undefined],
  ['3000 00', /1 bytes follow/],
  ['308100', /a length is longer/],
  ['3082 0003 020100', /a length is longer/],
  ['3004 028101 00', /a length is longer/],
  ['3004 0202 0001', /an integer is longer/],
  ['3004 0202 007f', /an integer is longer/],
  ['3004 0202 ff80', /an integer is longer/],
  ['3002 0200', /an integer is longer/],
  ['3003 0101 01', /a boolean is neither/],
  ['3002 0100', /a boolean is neither/],
  ['3004 0102 ffff', /a boolean is neither/],
  ['3106 020102 020101', /SET are out of order/],
  ['3008 3106 020102 020101', /SET are out of order/],
  ['3003 0201 01 0000', /2 bytes follow/],
])('%s', (text, defect) => {
  if (defect === undefined) expect(derDefect(hex(text))).toBeUndefined()
  else expect(derDefect(hex(text))).toMatch(defect)
})

test.each(['3003 0202 01', '3003 0202 01 0000', '3005 3003 0202 01 00'])(
  '%s, whose inner element does not end, is refused whatever stands behind it',
  (text) => {
    expect(() => derDefect(hex(text))).toThrow('the ASN.1 bytes end too early')
  },
)

test.each([
  [33, undefined],
  [34, 'it is nested too deeply'],
])('%d sequences, one in the other: %s', (levels, defect) => {
  let bytes = Buffer.alloc(0)
  for (let i = 0; i < levels; i++) bytes = Buffer.concat([Buffer.from([0x30, bytes.length]), bytes])
  expect(derDefect(bytes)).toBe(defect)
})
