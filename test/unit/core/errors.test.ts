import { causeChain, KeylimeError } from '../../../src/core/errors.ts'

test('what is thrown and is no error has a text too', () => {
  expect([causeChain('a text'), causeChain(undefined)]).toEqual([['a text'], ['undefined']])
})

test('the chain of causes tells each text once, outermost first', () => {
  const cause = new Error('no such file: a')
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a', { cause }))).toEqual(['cannot read a', 'no such file: a'])
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a: no such file: a', { cause }))).toEqual([
    'cannot read a: no such file: a',
  ])
})
