import type { DeliveryReport } from '../../../../src/core/api/push/delivery.ts'
import { heard, isFinal, isUnfinished, provesKey } from '../../../../src/core/attestation/delivery.ts'
import { newState, type StoredDelivery, type VState } from '../../../../src/core/attestation/stored-agent.ts'

const PROOF = 'ab'.repeat(48)
const said = (changes: Partial<DeliveryReport> = {}): DeliveryReport => ({
  ...{ enrolment: 'e1', generation: 7, state: 'unpacked', files: 2, script: 'none', proof: PROOF },
  ...changes,
})
const delivery = (report: DeliveryReport | null = null): StoredDelivery => ({
  ...{ enrolment: 'e1', generation: 7, orderedAt: 1, isKept: true, report },
})
const state = (vState: VState) => ({ ...newState(vState === 'delivered' ? null : 'dg==', '2.6'), vState })

test.each<[boolean, Partial<DeliveryReport>]>([
  [true, {}],
  [true, { state: 'key_only' }],
  [true, { state: 'not_allowed' }],
  [true, { state: 'failed' }],
  [false, { proof: null }],
  [false, { state: 'unpacking' }],
  [false, { state: 'waiting' }],
  [false, { state: 'refused' }],
])('that a machine has K: %s of %j', (expected, changes) => {
  expect(provesKey(said(changes))).toBe(expected)
})

test.each<[boolean, Partial<DeliveryReport>]>([
  [true, { script: 'none' }],
  [true, { script: 'done' }],
  [true, { script: 'failed' }],
  [false, { script: 'running' }],
  [true, { state: 'refused' }],
  [true, { state: 'failed', script: 'running' }],
  [false, { state: 'waiting' }],
  [false, { state: 'unpacking' }],
])('that a report is the last: %s of %j', (expected, changes) => {
  expect(isFinal(said(changes))).toBe(expected)
})

test.each<[boolean, VState, DeliveryReport | null]>([
  [true, 'held', null],
  [true, 'releasing', said()],
  [true, 'held', said({ state: 'refused' })],
  [true, 'delivered', null],
  [true, 'delivered', said({ script: 'running' })],
  [false, 'delivered', said({ script: 'done' })],
  [false, 'withheld', null],
])('that a delivery is unfinished: %s with V %s', (expected, vState, report) => {
  expect(isUnfinished(state(vState), delivery(report))).toBe(expected)
  expect(isUnfinished(state(vState), null)).toBe(false)
})

test('only what is new, and of this delivery, is heard; a proof that was shown stays', () => {
  const before = delivery(said({ script: 'running' }))
  expect(heard(before, said({ script: 'running' }))).toBe(before)
  expect(heard(before, said({ script: 'running', proof: null }))).toBe(before)
  expect(heard(before, said({ script: 'done', proof: null })).report).toEqual(said({ script: 'done' }))
  for (const other of [{ enrolment: 'e2' }, { generation: 8 }]) expect(heard(before, said({ script: 'done', ...other }))).toBe(before)
})
