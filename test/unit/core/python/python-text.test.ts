import { pythonJson } from '../../../../src/core/python/python-json.ts'
import { pythonLogLine, pythonRepr } from '../../../../src/core/python/python-text.ts'

test('pythonRepr prints as Python does', () => {
  expect(pythonRepr({ code: 200, status: 'Success', results: { a: [null, true, false], b: "it's", c: 'a\n"\'\\' } })).toBe(
    `{'code': 200, 'status': 'Success', 'results': {'a': [None, True, False], 'b': "it's", 'c': 'a\\n"\\'\\\\'}}`,
  )
  expect(pythonRepr('\u0001\u009b\u202e\u{e0041}')).toBe("'\\x01\\x9b\\u202e\\U000e0041'")
})

test('pythonJson prints as json.dumps does', () => {
  expect(pythonJson({ a: [1, 'ü', null], b: {} })).toBe('{"a": [1, "\\u00fc", null], "b": {}}')
})

test('log lines have both forms of upstream', () => {
  const record = { name: 'keylime.tenant', level: 'INFO', text: 'hello', now: new Date(2026, 10, 24, 21, 5, 6, 7).getTime() }
  expect(pythonLogLine(true, record)).toBe('2026-11-24 21:05:06.007 - keylime.tenant - INFO - hello')
  expect(pythonLogLine(false, record)).toBe('INFO:keylime.tenant:hello')
})
