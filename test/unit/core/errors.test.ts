import { causeChain, KeylimeError } from '../../../src/core/errors.ts'

test('what is thrown and is no error has a text too', () => {
  expect([causeChain('a text'), causeChain(undefined)]).toEqual([['a text'], ['undefined']])
})

test('each text of the chain is bounded', () => {
  const [outer, cause] = causeChain(new KeylimeError('malformed', 'x'.repeat(5000), { cause: new Error('y'.repeat(5_000_000)) }))
  expect([outer!.length, cause!.length]).toEqual([1024, 1027])
})

test('the chain of causes tells each text once, outermost first', () => {
  const cause = new Error('no such file: a')
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a', { cause }))).toEqual(['cannot read a', 'no such file: a'])
  expect(causeChain(new KeylimeError('file_failed', 'cannot read a: no such file: a', { cause }))).toEqual([
    'cannot read a: no such file: a',
  ])
})
