import { jest } from '@jest/globals'
import { LONGEST_STRETCH } from '../../../../../src/core/attestation/push-interval.ts'
import { type Crowd, createCrowd } from '../../../../../src/roles/verifier/push/crowd.ts'

let busy: number
let said: [string, unknown][]
let crowd: Crowd | undefined
beforeEach(() => {
  jest.useFakeTimers()
  busy = 0
  said = []
})
afterEach(() => {
  crowd?.stop()
  jest.useRealTimers()
})

function crowdOf(quoteInterval: number): Crowd {
  crowd = createCrowd({ quoteInterval, logger: { info: (text, fields) => said.push([text, fields]) }, busyShare: () => busy })
  return crowd
}

function passes(seconds: number, share: number): void {
  busy = share
  jest.advanceTimersByTime(seconds * 1000)
}

test('as long as there is time, machines come as often as configured, and nothing is said', () => {
  const { secondsToNext } = crowdOf(4)
  passes(60, 0.9)
  expect(secondsToNext()).toBe(4)
  passes(0.5, 1) // one long turn
  passes(0.5, 0.5)
  passes(0.5, 1)
  expect(secondsToNext()).toBe(4)
  expect(said).toEqual([])
})

test('with too much to do they are told to come less often, within seconds, up to three intervals; and then as before', () => {
  const { secondsToNext } = crowdOf(4)
  passes(1, 1)
  expect(secondsToNext()).toBe(5)
  passes(2, 1)
  expect(secondsToNext()).toBeGreaterThan(10)
  passes(3600, 1)
  expect(secondsToNext()).toBe(12)
  expect(said).toEqual([[expect.stringContaining('less often'), { intervalSeconds: 5, insteadOf: 4 }]])
  passes(60, 0.9)
  expect(secondsToNext()).toBe(12) // it is at its limit as it is
  passes(30, 0.1)
  expect(secondsToNext()).toBe(4)
  expect(said.slice(1)).toEqual([[expect.stringContaining('as often as configured again'), { longestIntervalSeconds: 12 }]])
})

test('its own measure: a loop that is never idle', async () => {
  jest.useRealTimers()
  crowd = createCrowd({ quoteInterval: 4, logger: { info: () => undefined } })
  for (let i = 0; i < 5 && crowd.stretch === 1; i++) {
    const until = performance.now() + 550
    while (performance.now() < until);
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(crowd.stretch).toBeGreaterThan(1)
  expect(crowd.stretch).toBeLessThanOrEqual(LONGEST_STRETCH)
})
