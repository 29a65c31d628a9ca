import { explainFailures } from '../../../../src/roles/tenant/explain-failures.ts'

const status = (failures: object[]) => ({ operational_state: 9, last_event_id: 'measured_boot.policy_example', failures }) as never

test('a failure is told with what was found and expected, what accepting it means, and what to do', () => {
  const context = { message: 'the initrd is another', got: 'aa', expected: ['bb', 'cc'], accept: {}, meaning: 'machines may boot it' }
  expect(explainFailures(status([{ event_id: 'measured_boot.policy_example', severity_label: 'emergency', context }])).split('\n')).toEqual(
    [
      '  the initrd is another [measured_boot.policy_example, emergency]',
      '    found:    aa',
      '    expected: bb, cc',
      '    accepting it means: machines may boot it',
      '    to do:    the machine booted something else than the reference state says',
    ],
  )
})
test('a verifier that gives only the last event is told with it', () =>
  expect(explainFailures(status([]))).toBe('  measured_boot.policy_example (state: Invalid Quote)'))
