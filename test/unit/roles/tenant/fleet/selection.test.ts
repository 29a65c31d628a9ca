import { checkSelection, isFleet, type Selection, stateOf } from '../../../../../src/roles/tenant/fleet/selection.ts'

const of = (changes: Partial<Selection> = {}): Selection => ({
  ids: [],
  hosts: [],
  all: false,
  policy: undefined,
  state: undefined,
  from: undefined,
  ...changes,
})

test('one machine is no fleet, by id, by address, or by both', () => {
  expect([of(), of({ ids: ['a'] }), of({ hosts: ['h'] }), of({ ids: ['a'], hosts: ['h'] })].map(isFleet)).toEqual([
    false,
    false,
    false,
    false,
  ])
  expect(
    [of({ ids: ['a', 'b'] }), of({ hosts: ['h', 'i'] }), of({ all: true }), of({ policy: 'p' }), of({ from: 'f' })].map(isFleet),
  ).toEqual(Array(5).fill(true))
})

test.each<[string, Selection]>([
  ['an id and --all', of({ ids: ['a'], all: true })],
  ['a list and --state', of({ from: 'f', state: 'failed' })],
  ['an id and a list', of({ ids: ['a'], from: 'f' })],
  ['two ids and an address', of({ ids: ['a', 'b'], hosts: ['h'] })],
])('%s do not say which machines are meant', (_what, selection) => {
  expect(() => checkSelection('update', selection)).toThrow(expect.objectContaining({ code: 'usage' }))
})

test.each(['status', 'history', 'replace', 'explain', 'regdelete'] as const)('%s takes one machine', (word) => {
  expect(() => checkSelection(word, of({ ids: ['a', 'b'] }))).toThrow(expect.objectContaining({ code: 'usage' }))
  expect(() => checkSelection(word, of({ ids: ['a'] }))).not.toThrow()
})

test('a state that there is none of is refused', () => {
  expect(stateOf('failed')).toBe('failed')
  expect(stateOf(undefined)).toBeUndefined()
  expect(() => stateOf('broken')).toThrow(expect.objectContaining({ code: 'usage', hint: expect.stringContaining('attested') }))
})
