import { BY_URGENCY, STATE_WORDS, stateWord } from '../../../../src/core/attestation/state-word.ts'

test.each([
  ['a machine with a good quote', { operational_state: 3, attestation_count: 1 }, 'attested'],
  ['one that waits for its first', { operational_state: 3, attestation_count: 0 }, 'waiting'],
  ['one of an upstream that does not count', { operational_state: 3 }, 'waiting'],
  ['one that has V to be given and was attested', { operational_state: 5, attestation_count: 1 }, 'attested'],
  ['one that does not take V', { operational_state: 6 }, 'unreachable'],
  ['one whose process ended', { operational_state: 8 }, 'stopped'],
  ['one that failed for nothing that is told', { operational_state: 7 }, 'failed'],
  ['one that was just enrolled', { operational_state: 1 }, 'waiting'],
  ['one that is asked again', { operational_state: 4, attestation_count: 5 }, 'unreachable'],
  ['one that is switched off', { operational_state: 7, last_event_id: 'internal.verifier.not_reachable' }, 'unreachable'],
  ['one that refused', { operational_state: 7, last_event_id: 'internal.verifier.no_quote' }, 'failed'],
  ['one that is not what it should be', { operational_state: 9, last_event_id: 'pcr_validation.invalid_pcr_15' }, 'failed'],
  ['one that the operator stopped', { operational_state: 10 }, 'stopped'],
])('%s', (_what, status, word) => {
  expect(stateWord(status)).toBe(word)
})

test('there are no other words than those of the command line', () => {
  expect(STATE_WORDS).toEqual(['attested', 'failed', 'unreachable', 'waiting', 'stopped', 'registered', 'revoked'])
})

test('each word has its place in a list', () => {
  expect(BY_URGENCY.toSorted()).toEqual(STATE_WORDS.toSorted())
})
