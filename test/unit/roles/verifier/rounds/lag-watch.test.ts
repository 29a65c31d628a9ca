import { jest } from '@jest/globals'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { startLagWatch } from '../../../../../src/roles/verifier/rounds/lag-watch.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

let time: SimulatedTime
let told: VerifierEvent[]
let lateMs: number
let watch: { stop(): void }
function start(quoteInterval: number): void {
  watch = startLagWatch({
    load: () => ({ lateMs, waiting: 7 }),
    events: { raise: (...events) => void told.push(...events) },
    quoteInterval,
  })
}
beforeEach(() => {
  time = simulatedTime()
  told = []
  lateMs = 0
})
afterEach(() => {
  watch.stop()
  jest.useRealTimers()
})

test('a lag is told once, and its end with the worst of it', async () => {
  start(1)
  for (const late of [0, 1900, 2500, 31_000, 1500, 600, 499, 0, 1999]) {
    lateMs = late
    await time.pass(1000)
  }
  expect(told).toEqual([
    { type: 'attestations_late', late_seconds: 2.5, waiting: 7 },
    { type: 'attestations_in_time', longest_seconds: 31 },
  ])
})

test('what is late is measured by the interval', async () => {
  start(60)
  lateMs = 59_000
  await time.pass(5000)
  expect(told).toEqual([])
  lateMs = 61_000
  await time.pass(1000)
  expect(told).toHaveLength(1)
})
