import {
  attestationStatus,
  isOperationalState,
  isPolled,
  OPERATIONAL_STATE,
  stateText,
} from '../../../../src/core/attestation/operational-state.ts'

/** Number, text and word as upstream has them (protocol 4.1, 4.9), and whether it is asked on. */
test.each([
  ['REGISTERED', 0, 'Registered', 'PENDING', false],
  ['START', 1, 'Start', 'PENDING', true],
  ['SAVED', 2, 'Saved', 'PENDING', false],
  ['GET_QUOTE', 3, 'Get Quote', 'PASS', true],
  ['GET_QUOTE_RETRY', 4, 'Get Quote (retry)', 'PASS', true],
  ['PROVIDE_V', 5, 'Provide V', 'PASS', true],
  ['PROVIDE_V_RETRY', 6, 'Provide V (retry)', 'PASS', true],
  ['FAILED', 7, 'Failed', 'FAIL', false],
  ['TERMINATED', 8, 'Terminated', 'PENDING', false],
  ['INVALID_QUOTE', 9, 'Invalid Quote', 'FAIL', false],
  ['TENANT_FAILED', 10, 'Tenant Quote Failed', 'FAIL', false],
] as const)('the state %s is upstream’s', (name, state, text, word, polled) => {
  expect(OPERATIONAL_STATE[name]).toBe(state)
  expect([isOperationalState(state), stateText(state), attestationStatus(state), isPolled(state)]).toEqual([true, text, word, polled])
})

test('there are no other states', () => {
  expect(Object.keys(OPERATIONAL_STATE)).toHaveLength(11)
  expect([-1, 11, 0.5, Number.NaN].map(isOperationalState)).toEqual([false, false, false, false])
})
