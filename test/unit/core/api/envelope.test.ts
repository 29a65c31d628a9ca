import { readEnvelope } from '../../../../src/core/api/envelope.ts'

const read = (body: string | Buffer, status = 200) => readEnvelope({ status, body: Buffer.from(body as string) })

test('results, the text of the status, and the status of HTTP whatever the body says', () => {
  expect(read('{"code":200,"status":"Success","results":{"a":[1]}}')).toEqual({ code: 200, status: 'Success', results: { a: [1] } })
  expect(read('{"code":200}', 500)).toEqual({ code: 500, status: '', results: {} })
  expect(read('{"errors":[{"detail":"no"}]}', 403)).toEqual({ code: 403, status: 'no', results: {} })
})

test('an empty body is an empty envelope', () => {
  for (const body of ['', ' \r\n']) expect(read(body, 502)).toEqual({ code: 502, status: '', results: {} })
})

test('a long status is cut, and one that is no text is none', () => {
  expect(read(JSON.stringify({ status: 'x'.repeat(5000) })).status).toBe(`${'x'.repeat(1000)}… (4000 more characters)`)
  expect(read('{"status":{"toString":1,"valueOf":1}}').status).toBe('')
  expect(read('{"status":["x"]}').status).toBe('')
})

test.each([
  ['no JSON', '<html>', 'is not valid JSON'],
  ['blanks without end', ' '.repeat(1000), 'is not valid JSON'],
  ['a text', '"x"', 'is not a JSON object'],
  ['null', 'null', 'is not a JSON object'],
  ['nesting', `{"results":${'['.repeat(100)}${']'.repeat(100)}}`, 'is nested deeper than 16 levels'],
  ['nesting that is never closed', '['.repeat(1 << 20), 'is nested deeper than 16 levels'],
  ['many values', `{"results":[${'{},'.repeat(1 << 20)}{}]}`, 'has more than 1000 values'],
])('%s is malformed', (_name, body, reason) => {
  expect(() => read(body, 418)).toThrow(expect.objectContaining({ code: 'malformed', message: `the reply (HTTP 418) ${reason}` }))
})
