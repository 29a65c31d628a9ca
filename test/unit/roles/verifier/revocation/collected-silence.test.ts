import { jest } from '@jest/globals'
import type { Enrolment } from '../../../../../src/core/attestation/stored-agent.ts'
import { irrecoverable } from '../../../../../src/core/verdict/failure.ts'
import {
  type CollectedSilence,
  collectSilence,
  type SilentMachines,
} from '../../../../../src/roles/verifier/revocation/collected-silence.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

let time: SimulatedTime
let told: SilentMachines[]
let silence: CollectedSilence
let isStored: boolean
beforeEach(() => {
  time = simulatedTime()
  told = []
  isStored = true
  silence = collectSilence(time.clock, async (machines) => {
    told.push(machines)
    return isStored
  })
})
afterEach(() => {
  jest.useRealTimers()
})

const FAILURE = irrecoverable('internal', 'verifier.not_reachable', { message: 'EHOSTUNREACH' })
const fallsSilent = (agentId: string) => silence.isSingle({ agentId } as Enrolment, FAILURE)
const many = (count: number, from = 0) => Array.from({ length: count }, (_, i) => fallsSilent(`m-${from + i}`))
const counts = () => told.map(({ count }) => count)

test('a few machines are told of one by one; those that follow at once, together after some seconds', async () => {
  expect(many(1000).filter(Boolean)).toHaveLength(5)
  expect(told).toEqual([])
  await time.pass(5000)
  expect(counts()).toEqual([995])
  expect(told[0]).toMatchObject({ enrolment: { agentId: 'm-5' }, failure: FAILURE })
  expect(told[0]!.agentIds).toEqual(Array.from({ length: 20 }, (_, i) => `m-${i + 5}`))
})

test('however long it goes on, it is told of once a minute', async () => {
  for (let second = 0; second < 180; second++) {
    many(10, 10 * second)
    await time.pass(1000)
  }
  expect(counts()).toEqual([45, 600, 600])
  await time.pass(60_000)
  expect(counts().reduce((sum, count) => sum + count)).toBe(1795)
})

test('a machine that falls silent long after others is told of alone again', async () => {
  many(6)
  await time.pass(5000)
  expect(counts()).toEqual([1])
  await time.pass(300_000)
  expect(fallsSilent('late')).toBe(true)
})

test('a machine whose silence cannot be stored now falls silent again and again, and counts once', async () => {
  many(5)
  for (let second = 0; second < 4; second++) {
    many(10, 5)
    await time.pass(1000)
  }
  isStored = false
  await time.pass(1000)
  many(10, 5)
  isStored = true
  await time.pass(60_000)
  expect(counts()).toEqual([10, 10])
})

test('the end tells of those that were collected', async () => {
  many(7)
  await silence.stop()
  expect(counts()).toEqual([2])
  await time.pass(120_000)
  expect(counts()).toEqual([2])
})

test('it is known for a minute that many fell silent', async () => {
  many(5)
  expect(silence.isOfMany).toBe(false)
  many(1)
  expect(silence.isOfMany).toBe(true)
  await time.pass(5000)
  expect([counts(), silence.isOfMany]).toEqual([[1], true])
  await time.pass(60_000)
  expect(silence.isOfMany).toBe(false)
})

test('the end says nothing of many where nobody fell silent', async () => {
  await silence.stop()
  expect([counts(), silence.isOfMany]).toEqual([[], false])
})

test('what cannot be stored is told later, with those that fell silent meanwhile', async () => {
  isStored = false
  many(1000)
  await time.pass(5000)
  fallsSilent('meanwhile')
  await time.pass(59_000)
  expect([counts(), silence.isOfMany]).toEqual([[995], true])
  isStored = true
  await time.pass(1000)
  expect(counts()).toEqual([995, 996])
  expect(told[1]!.agentIds).toHaveLength(20)
  await time.pass(120_000)
  expect([counts(), silence.isOfMany]).toEqual([[995, 996], false])
})

test('the end does not wait for what cannot be stored', async () => {
  isStored = false
  many(7)
  await silence.stop()
  await time.pass(120_000)
  expect(counts()).toEqual([2])
})
