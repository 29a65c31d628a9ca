import fc from 'fast-check'
import { AnswerReader, type AnswerRules } from '../../../../src/io/http/answer-reader.ts'

const RULES: AnswerRules = { maxBytes: 100, arrived: () => undefined }
const read = (text: string | Buffer, rules = RULES) => {
  const reader = new AnswerReader(rules)
  return { reader, isWhole: reader.push(Buffer.from(text as string)) }
}
const OK = 'HTTP/1.1 200 OK\r\n'

test.each<[string, string, string, boolean]>([
  ['a length', `${OK}Content-Length: 5\r\n\r\nhello`, 'hello', false],
  ['no body', `${OK}content-length: 0\r\n\r\n`, '', false],
  ['chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n`, 'hello', false],
  ['chunks and a trailer', `${OK}transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`, 'hello', false],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', '', false],
  ['an end that is announced', `${OK}connection: close\r\ncontent-length: 5\r\n\r\nhello`, 'hello', true],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello', 'hello', true],
  ['HTTP/1.0 that is kept', 'HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello', 'hello', false],
  ['no reason', 'HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello', 'hello', false],
  [
    'a word before it',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}content-length: 5\r\n\r\nhello`,
    'hello',
    false,
  ],
])('an answer with %s is read, however it is cut', (_what, text, body, isLast) => {
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), text.length]
      const reader = new AnswerReader(RULES)
      const memory = Buffer.alloc(text.length)
      let isWhole = false
      for (let i = 1; i < places.length; i++) {
        const part = memory.subarray(0, memory.write(text.slice(places[i - 1], places[i]), 'latin1'))
        isWhole = reader.push(part)
        memory.fill('#') // what was handed over is used again
      }
      expect([isWhole, reader.answer().body.toString(), reader.isLast]).toEqual([true, body, isLast])
    }),
    { numRuns: 60, seed: 1 },
  )
})

test('an answer without a length is whole when the connection ends; another is not', () => {
  const { reader, isWhole } = read(`${OK}\r\nhello`)
  expect([isWhole, reader.end(), reader.isLast, reader.answer().body.toString()]).toEqual([false, true, true, 'hello'])
  expect(read(`${OK}content-length: 6\r\n\r\nhello`).reader.end()).toBe(false)
  expect(read(OK).reader.end()).toBe(false)
})

test('how long the connection is kept is read, and whether anything has come', () => {
  expect(read(`${OK}keep-alive: timeout=5, max=10\r\ncontent-length: 0\r\n\r\n`).reader.keptMs).toBe(5000)
  expect(read(`${OK}content-length: 0\r\n\r\n`).reader.keptMs).toBe(null)
  expect([new AnswerReader(RULES).hasBegun, read('H').reader.hasBegun, read(OK).reader.hasBegun]).toEqual([false, true, true])
})

test('bytes are told as they come', () => {
  const told: number[] = []
  const arrived = (bytes: number) => void told.push(bytes)
  read(`${OK}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`, { maxBytes: 5, arrived })
  expect(told).toEqual([3, 2])
})

test.each<[string, string, string]>([
  ['bytes beyond its length', `${OK}content-length: 5\r\n\r\nhello!`, 'more came'],
  ['a second answer', `${OK}content-length: 0\r\n\r\n${OK}`, 'more came'],
  ['bytes after the last chunk', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n\r\nx`, 'more came'],
  ['two lengths', `${OK}content-length: 5\r\ncontent-length: 6\r\n\r\n`, 'not a number'],
  ['a length and chunks', `${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`, 'given twice'],
  ['a coding that is not known', `${OK}transfer-encoding: gzip, chunked\r\n\r\n`, 'not known'],
  ['a length below zero', `${OK}content-length: -1\r\n\r\n`, 'not a number'],
  ['a length in hex', `${OK}content-length: 0x5\r\n\r\n`, 'not a number'],
  ['a chunk without a length', `${OK}transfer-encoding: chunked\r\n\r\n\r\n`, 'no length'],
  ['a chunk of a length that is none', `${OK}transfer-encoding: chunked\r\n\r\n+5\r\n`, 'no length'],
  ['a chunk of too many digits', `${OK}transfer-encoding: chunked\r\n\r\n000000005\r\n`, 'no length'],
  ['a chunk that goes on', `${OK}transfer-encoding: chunked\r\n\r\n2\r\nhello`, 'longer than it says'],
  ['a chunk line without end', `${OK}transfer-encoding: chunked\r\n\r\n1${';'.repeat(300)}`, 'too long'],
  ['a header that is folded', `${OK}a: b\r\n c\r\n\r\n`, 'a header is malformed'],
  ['a header without a colon', `${OK}abc\r\n\r\n`, 'a header is malformed'],
  ['a blank before the colon', `${OK}content-length : 5\r\n\r\n`, 'a header is malformed'],
  ['another protocol', 'HTTP/2 200\r\n\r\n', 'not an answer'],
  ['bytes of TLS', '\x15\x03\x03', 'not an answer'],
  ['a line feed alone', 'HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n', 'not an answer'],
  ['a status below 100', 'HTTP/1.1 000 OK\r\n\r\n', 'not an answer'],
  ['words before it without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000), 'too much comes beside it'],
  ['a trailer without end', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(5000)}`, 'too much comes beside it'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'not an answer'],
  ['headers without end', `${OK}${'a: b\r\n'.repeat(5000)}`, 'too long'],
])('%s is no answer', (_what, text, message) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ code: 'HPE_INVALID', message: expect.stringContaining(message) }))
})

test.each([
  ['announced', `${OK}content-length: 101\r\n\r\n`],
  ['chunked', `${OK}transfer-encoding: chunked\r\n\r\n65\r\n${'x'.repeat(101)}`],
  ['until the end', `${OK}\r\n${'x'.repeat(101)}`],
])('what is larger than may be is refused: %s', (_what, text) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ code: 'payload_too_large' }))
})

test('blanks in a header cost no more than other bytes: all of them tried with each would take minutes', () => {
  const blanks = ' \t'.repeat(3500)
  expect(() => read(`${OK}a:${blanks}\n${blanks}\r\n\r\n`)).toThrow(/a header is malformed/)
  expect(read(`${OK}a:${blanks}b${blanks}c\r\ncontent-length: 0\r\n\r\n`).isWhole).toBe(true)
  expect(read(`${OK}content-length:${blanks}5${blanks}\r\n\r\nhello`).isWhole).toBe(true)
})
