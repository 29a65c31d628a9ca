import { CONFIRMED, fingerprint, isFresh, prepareRelease, vIsDue } from '../../../../src/core/attestation/release.ts'
import { FRESH_PROGRESS, newState, type StoredState, type VState } from '../../../../src/core/attestation/stored-agent.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'

const KEY = '-----BEGIN PUBLIC KEY-----\none\n'
const OTHER = '-----BEGIN PUBLIC KEY-----\nother\n'
const stateOf = (vState: VState, changes: Partial<StoredState> = {}): StoredState => ({ ...newState('Vv8=', '2.6'), vState, ...changes })

test.each<[VState, boolean]>([
  ['none', false],
  ['held', true],
  ['releasing', true],
  ['delivered', false],
])('V in state %p is due: %p', (vState, due) => {
  expect(vIsDue(stateOf(vState))).toBe(due)
})
test('without a V nothing is due, whatever the state says', () => {
  for (const vState of ['none', 'held', 'releasing', 'delivered'] as const) expect(vIsDue(stateOf(vState, { v: null }))).toBe(false)
})
test('a new agent is asked on, and nothing is known of it', () => {
  expect(newState(null, '2.6')).toEqual({
    operational: 1,
    polled: true,
    announcedSeverity: null,
    failures: [],
    v: null,
    vState: 'none',
    vReleasedTo: null,
    transportKey: null,
    supportedVersion: '2.6',
    algorithms: null,
  })
  expect(FRESH_PROGRESS).toEqual({
    attestationCount: 0,
    lastReceivedQuote: 0,
    lastSuccessfulAttestation: 0,
    clockInfo: null,
    ima: FRESH_IMA,
    imaJudgedBy: '',
  })
})
test('a new agent holds V until it is released, or has none', () => {
  expect(newState('Vv8=', '2.6')).toMatchObject({ v: 'Vv8=', vState: 'held', vReleasedTo: null })
  expect(newState(null, '2.6')).toMatchObject({ v: null, vState: 'none' })
})

test('before V leaves, the record says to which transport key', () => {
  expect(prepareRelease(stateOf('held'), KEY)).toEqual({
    changes: { vState: 'releasing', vReleasedTo: fingerprint(KEY), transportKey: KEY },
  })
})
test('V that may have left goes to the same transport key again, and to no other', () => {
  const state = stateOf('releasing', { vReleasedTo: fingerprint(KEY) })
  expect(prepareRelease(state, KEY)).toEqual({ changes: { vState: 'releasing', vReleasedTo: fingerprint(KEY), transportKey: KEY } })
  expect(prepareRelease(state, OTHER)).toEqual({ refused: expect.stringContaining('another transport key') })
})
test('a V that is confirmed is erased', () => {
  const after = { ...stateOf('releasing'), ...CONFIRMED }
  expect([after.v, after.vState, vIsDue(after)]).toEqual([null, 'delivered', false])
})

test.each([
  [0, true],
  [60, true],
  [61, false],
  [-61, false],
])('evidence that comes %s s after its challenge brings V: %s', (seconds, expected) => {
  expect(isFresh({ openedAt: 1_700_000_000_000, receivedAt: 1_700_000_000_000 + seconds * 1000 })).toBe(expected)
})
