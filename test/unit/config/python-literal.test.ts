import { parsePythonLiteral } from '../../../src/config/python-literal.ts'

test.each([
  [String.raw`'\x41\u00e9\101\n\a'`, 'Aé' + 'A\n\x07'],
  [String.raw`'\U0001f600'`, '😀'],
  [String.raw`'\d\9'`, String.raw`\d\9`],
  ['[1e21, 1., -.5, 2.5E-1]', [1e21, 1, -0.5, 0.25]],
  ["('one')", 'one'],
  ["('one',)", ['one']],
  ["('one', ('two'))", ['one', 'two']],
  ['()', []],
])('%s is what it is to Python', (text, value) => {
  expect(parsePythonLiteral(text)).toEqual(value)
})

test.each([String.raw`'\U00110000'`, '1e999', '['.repeat(100_000), '{1:'.repeat(1000), '[1', "'a"])('%.20s is refused in words', (text) => {
  expect(() => parsePythonLiteral(text)).toThrow('must be a list such as')
})
