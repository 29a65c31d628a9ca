import { nearestWord } from '../../../../src/core/cli/nearest-word.ts'

const WORDS = ['add', 'status', 'delete', 'revocations', 'ca'] as const

test.each([
  ['statsu', 'status'],
  ['stats', 'status'],
  ['Delete', 'delete'],
  ['dellete', 'delete'],
  ['revocation', 'revocations'],
  ['ac', 'ca'],
  ['ad', 'add'],
])('%s is meant to be %s', (typed, word) => {
  expect(nearestWord(typed, WORDS)).toBe(word)
})

test('what is like no word, and nothing at all, is not guessed', () => {
  for (const typed of ['xyzzy', 'st', '', 'x'.repeat(10_000)]) expect(nearestWord(typed, WORDS)).toBeUndefined()
})
