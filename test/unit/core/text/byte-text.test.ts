import fc from 'fast-check'
import { joinRawLines, splitRawLines } from '../../../../src/core/evidence/raw-lines.ts'
import { decodeBytes, encodeBytes } from '../../../../src/core/text/byte-text.ts'

test('any bytes become text and the same bytes again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const text = decodeBytes(bytes)
      expect(encodeBytes(text)).toEqual(Buffer.from(bytes))
      expect(encodeBytes(JSON.parse(JSON.stringify(text)))).toEqual(Buffer.from(bytes))
    }),
  )
})
test('UTF-8 is what it is, and bytes that are none are lone surrogates', () => {
  expect(decodeBytes(Buffer.from('/bin/ä€😀\ufffd'))).toBe('/bin/ä€😀\ufffd')
  expect(decodeBytes(Buffer.from('2fff41c3', 'hex'))).toBe('/\udcffA\udcc3')
  expect(decodeBytes(Buffer.from('eda080f5c0af', 'hex'))).toBe('\udced\udca0\udc80\udcf5\udcc0\udcaf')
  expect(encodeBytes('\ud800x')).toEqual(Buffer.from('\ufffdx'))
})
test('lines that are not UTF-8 travel beside the list, and the list is whole again', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 }).map((bytes) => bytes.filter((byte) => byte !== 10))), (lines) => {
      const text = decodeBytes(Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')])))
      const { list, raw } = splitRawLines(text)
      expect(list.isWellFormed()).toBe(true)
      expect(raw === null ? list : joinRawLines(list, raw)).toBe(text)
    }),
  )
})
test.each(['9 AAAA\n', 'x\n', '0 Cg==\n', '0 &&&\n', '99999999999 AA==\n'])('raw lines %j that cannot be change nothing', (raw) =>
  expect(joinRawLines('a\nb\n', raw)).toBe('a\nb\n'),
)
