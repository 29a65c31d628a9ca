import { causeChain, KeylimeError } from '../../../src/core/errors.ts'

test('the chain of causes tells each text once, outermost first', () => {
  const cause = new Error('no such file: a')
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a', { cause }))).toEqual(['cannot read a', 'no such file: a'])
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a: no such file: a', { cause }))).toEqual([
    'cannot read a: no such file: a',
  ])
})
