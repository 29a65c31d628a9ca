import { compileExcludes } from '../../../../src/core/ima/excludes.ts'
import { walk } from '../../../thorough.ts'

test.each<[string, string, boolean]>([
  ['/usr', '/usrfoo', true],
  ['lib', '/usr/lib/x', false],
  ['/var/log/.*', '/var/log/x/y', true],
  ['/tmp$', '/tmp/x', false],
  ['/tmp\\Z', '/tmp', true],
  ['/a{,2}b', '/aab', true],
  ['/a{,2}b', '/aaab', false],
  ['/(?P<name>x)y', '/xy', true],
  ['/(?#a comment)x', '/x', true],
  ['/\\w+$', '/äö', true],
  ['/[\\w-]+$', '/ä-ö', true],
  ['/\\d', '/٣', true],
  ['/[]x]', '/]', true],
  ['/[^]x]', '/]', false],
  ['/[[:alpha:]]', '/a]', true],
  ['/\\u00e4', '/ä', true],
  ['/a\\.b', '/axb', false],
  ['(?i)/ABC', '/abc', true],
  ['boot_aggregate', 'boot_aggregate', true],
  ['', '/anything', true],
  ['/a/x', '/x', false],
])('%s, matched with %s as Python’s re.match does, gives %s', (expression, name, expected) => {
  expect(compileExcludes([expression], 'excludes')(name)).toBe(expected)
})

test.each([
  '(',
  'a(?=b)',
  'a(?!b)',
  '(?<=a)b',
  '(a)\\1',
  '(?P<n>a)(?P=n)',
  '(?>a)',
  'a**',
  '[',
  '\\Q',
  '\\pL',
  '\\C',
  'x\\',
  '(?x)a',
  'a{1001}',
  '[\\W]',
])('the expression %s is refused with its place', (expression) =>
  expect(() => compileExcludes(['/ok', expression], 'excludes')).toThrow(/^excludes\[1\]: /),
)
test.each([
  ['/(?!usr)', /write what is meant, not what is not/],
  ['(a)\\1', /write what the group stands for/],
  ['(?P<x>a)(?P=x)', /write what the group stands for/],
  ['/var/.*+', /possessive repetitions .*: write \* for \*\+/],
  ['/var/\\N{DASH}', /\\N\{NAME\} is not supported: write the character/],
  ['/var/[0-9]++x', /possessive repetitions/],
  ['(?>a|b)', /write \(\?:…\)/],
  ['(?x) /var', /without blanks and comments/],
  ['/v{1001}', /at most 1000 times: write \* or \+/],
])('what Python takes and we do not is refused with a way to write it: %s', (expression, message) =>
  expect(() => compileExcludes([expression], 'excludes')).toThrow(message),
)
test('too long and too many expressions are refused', () => {
  expect(() => compileExcludes(['x'.repeat(5000)], 'excludes')).toThrow(/^excludes\[0\]: /)
  expect(() => compileExcludes(Array(10_001).fill('x'), 'excludes')).toThrow(/^excludes: /)
})
walk('expressions that would make each look-up slow are refused together, and ten thousand plain ones are not', () => {
  const large = Array(2).fill(`(?:${'a{1000}'.repeat(200)})`)
  expect(() => compileExcludes(large, 'excludes')).toThrow(/^excludes\[1\]: .*too large to be matched in good time$/)
  expect(compileExcludes(Array(10_000).fill('/var/lib/x/.*'), 'excludes')('/var/lib/x/y')).toBe(true)
})
test('ranges that are blind to case are reckoned by what they cost, and refused before they are made', () => {
  const dear = `(?i)${'[a-\\U0010ffff]'.repeat(200)}`
  expect(() => compileExcludes([dear, dear], 'excludes')).toThrow('excludes[1]')
  expect(compileExcludes(['(?i)[a-c]x-y', '(?i:é)'], 'excludes').toMake).toBeLessThan(100)
})
test('of several expressions any one is enough, and flags of one do not reach the next', () => {
  const excluded = compileExcludes(['(?i)/ABC', '/xyz'], 'excludes')
  expect(['/abc', '/xyz', '/XYZ', '/'].map(excluded)).toEqual([true, true, false, false])
})

test('where a word ends is known of ASCII alone: a name with other letters is not excluded by it, as it might not be by Python', () => {
  const isExcluded = compileExcludes(['/tmp/foo\\b', '/var/é'], 'excludes')
  expect(['/tmp/foo', '/tmp/foo.é', '/tmp/fooé', '/var/é', '/tmp/food'].map(isExcluded)).toEqual([true, false, false, true, false])
  expect(compileExcludes(['x\\B'], 'excludes')('xé')).toBe(false)
})
