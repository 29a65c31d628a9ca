import { failuresInShort, hasStory } from '../../../../../src/roles/tenant/explain/failures-in-short.ts'

const status = (failures: object[]) => ({ operational_state: 9, last_event_id: 'measured_boot.policy_example', failures }) as never
const failure = (event_id: string, context: object) => ({ event_id, severity_label: 'emergency', context })

test('a failure is told in short: what was found and expected, the change that would accept it, and what to look at', () => {
  const context = { message: 'the initrd is another', got: 'aa', expected: ['bb', 'cc'], accept: { kernels: [{}] }, meaning: 'm' }
  expect(failuresInShort(status([failure('measured_boot.policy_example', context)])).split('\n')).toEqual([
    '  the initrd is another [measured_boot.policy_example, emergency]',
    '    found:    aa',
    '    expected: bb, cc',
    '    change:   {"mb_policy":{"kernels":[{}]}}',
    '    look at:  what was updated or set on the machine before this boot',
  ])
})
test('of many failures the first three are told, of many digests the first five, and no text leaves its line', () => {
  const many = Array.from({ length: 5 }, (_, i) =>
    failure('pcr_validation.invalid_pcr_1', {
      message: `m${i}\u001b[2J\n`,
      got: 'aa',
      expected: ['1', '2', '3', '4', '5', '6'],
      expected_count: 9,
    }),
  )
  const text = failuresInShort(status(many))
  expect(text.split('\n').filter((line) => line.startsWith('  m'))).toEqual(
    [0, 1, 2].map((i) => `  m${i}?[2J? [pcr_validation.invalid_pcr_1, emergency]`),
  )
  expect(text).toContain('    expected: 1, 2, 3, 4, 5 and 4 more\n')
  expect(text).toMatch(/\n {2}and 2 more$/)
})
test('a verifier that gives only the last event is told with it', () =>
  expect(failuresInShort(status([]))).toBe('  measured_boot.policy_example (state: Invalid Quote)'))
test('there is a story when evidence was judged, not when the machine was only not reached', () => {
  expect(hasStory(status([failure('ima.pcr_mismatch', {})]))).toBe(true)
  expect(hasStory(status([failure('internal.verifier.not_reachable', {})]))).toBe(false)
  expect(hasStory({ operational_state: 9 } as never)).toBe(false)
})
