import { RE2JS } from 're2js'
import { hiddenSteps, isUncertain, translatePythonRegex } from '../../../../src/core/ima/python-regex.ts'

/** What RE2 is given for an expression of Python's `re`. */
test.each([
  ['/usr/.*', '/usr/.*'],
  ['a\\Z', 'a\\z'],
  ['\\w\\W\\d\\D\\s', '[\\p{L}\\p{N}_][^\\p{L}\\p{N}_]\\p{Nd}\\P{Nd}[\\s\\x0b]'],
  ['[\\w\\d\\D\\s\\b]', '[\\p{L}\\p{N}_\\p{Nd}\\P{Nd}\\s\\x0b\\x08]'],
  ['[]a]', '[\\]a]'],
  ['[^]a]', '[^\\]a]'],
  ['[a[b]c[d]', '[a\\[b]c[d]'],
  ['[(?#]x(?#note)y', '[(?#]xy'],
  ['a{,3}b{2,}', 'a{0,3}b{2,}'],
  ['[{,3}]', '[{,3}]'],
  ['\\u00e4\\U0001F600\\x41', '\\x{00e4}\\x{0001F600}\\x{41}'],
  ['\\0\\07\\012', '\\x{0}\\x{7}\\x{a}'],
  ['\\.\\/\\é\\_', '\\.\\/é\\_'],
  ['(?P<a>b)(?:c)(?i:d)(?i)e', '(?P<a>b)(?:c)(?i:d)(?i)e'],
])('%s is %s', (python, re2) => {
  expect(translatePythonRegex(python)).toBe(re2)
  expect(() => RE2JS.compile(re2)).not.toThrow()
})

test.each([
  ['a\\', /there is a backslash at the end/],
  ['(a)\\1', /refers to a group/],
  ['(?P<a>b)(?P=a)', /refers to a group/],
  ['[\\W]', /not supported/],
  ['[\\A]', /\\A is not known/],
  ['[\\B]', /\\B is not known/],
  ['\\q', /\\q is not known/],
  ['(?#never', /a comment has no end/],
  ['(?=a)', /lookahead/],
  ['(?!a)', /lookahead/],
  ['(?<=a)', /lookbehind/],
  ['(?<!a)', /lookbehind/],
  ['(?>a)', /atomic/],
  ['(?(1)a|b)', /conditional/],
  ['(?<a>b)', /something unknown/],
  ['(?x)a', /flags a, u and x/],
  ['(?ia)b', /flags a, u and x/],
])('%s is refused in words', (python, reason) => expect(() => translatePythonRegex(python)).toThrow(reason))

test('where a word ends is uncertain beyond ASCII alone', () => {
  expect([isUncertain('\\ba', 'é'), isUncertain('\\Ba', 'é'), isUncertain('\\ba', 'e'), isUncertain('a', 'é')]).toEqual([
    true,
    true,
    false,
    false,
  ])
})

test('blindness to case costs for each range and each class', () => {
  expect(['(?i)[ -~]', '(?i)\\w\\d', '(?i)[ -~]\\s', '[ -~]\\w', '(?i)[a-z]', '(?si)\\w', '(?i)abc'].map(hiddenSteps)).toEqual([
    1000, 100, 1050, 0, 0, 50, 0,
  ])
})
