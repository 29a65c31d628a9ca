import zlib from 'node:zlib'
import fc from 'fast-check'
import { packJson, unpackJson } from '../../../../src/io/judging/packed-json.ts'

const MAX = 64 << 20
const through = (value: unknown) => unpackJson(packJson(value, MAX)!, MAX)

test('what is packed comes out as JSON would give it', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => expect(through(value)).toEqual(JSON.parse(JSON.stringify(value)))))
  expect(through({ a: undefined, b: [1, null], c: {} })).toEqual({ b: [1, null], c: {} })
})

test('a long text is cut nowhere where it would be changed: surrogates, escapes, lines', () => {
  for (let shift = 0; shift < 3; shift++) {
    const text = `${'x'.repeat((1 << 20) - shift)}😀"\\\n\u2028${'é'.repeat(1 << 20)}`
    expect(through({ text, rest: text.slice(9) })).toEqual({ text, rest: text.slice(9) })
  }
})

test('what is over the limit is not packed, and not unpacked', () => {
  const value = { text: 'abc'.repeat(1 << 20) }
  expect(packJson(value, 100)).toBeNull()
  expect(() => unpackJson(packJson(value, MAX)!, 1 << 20)).toThrow('the packed text cannot be read')
})

test('bytes that somebody changed are an error, a single frame of the release before is read', () => {
  const packed = packJson({ a: 'b' }, MAX)!
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(3),
    packed.subarray(0, -1),
    Buffer.concat([packed, Buffer.from('x')]),
    Buffer.alloc(99, 0xff),
  ])
    expect(() => unpackJson(bytes, MAX)).toThrow('the packed text cannot be read')
  expect(unpackJson(zlib.zstdCompressSync('{"a":"b"}'), MAX)).toEqual({ a: 'b' })
})
