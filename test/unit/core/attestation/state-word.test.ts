import { stateWord } from '../../../../src/core/attestation/state-word.ts'

test.each([
  ['a machine with a good quote', { operational_state: 3, attestation_count: 1 }, 'attested'],
  ['one that waits for its first', { operational_state: 3, attestation_count: 0 }, 'waiting'],
  ['one that was just enrolled', { operational_state: 1 }, 'waiting'],
  ['one that is asked again', { operational_state: 4, attestation_count: 5 }, 'unreachable'],
  ['one that is switched off', { operational_state: 7, last_event_id: 'internal.verifier.not_reachable' }, 'unreachable'],
  ['one that refused', { operational_state: 7, last_event_id: 'internal.verifier.no_quote' }, 'failed'],
  ['one that is not what it should be', { operational_state: 9, last_event_id: 'pcr_validation.invalid_pcr_15' }, 'failed'],
  ['one that the operator stopped', { operational_state: 10 }, 'stopped'],
])('%s', (_what, status, word) => {
  expect(stateWord(status)).toBe(word)
})
