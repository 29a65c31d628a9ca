import { jest } from '@jest/globals'
import { type Crowd, createCrowd } from '../../../../../src/roles/verifier/push/crowd.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

let time: SimulatedTime
let said: [string, unknown][]
let crowd: Crowd
let busyMs: number
beforeEach(() => {
  time = simulatedTime()
  said = []
  busyMs = 0
  const logger = { info: (text: string, fields?: unknown) => void said.push([text, fields]) }
  crowd = createCrowd({ quoteInterval: 4, clock: time.clock, logger, load: () => ({ busyMs, share: busyMs / 1000 }) })
})
afterEach(() => {
  crowd.stop()
  jest.useRealTimers()
})

/** So many machines come in each of so many seconds. @returns the last answer. */
async function come(perSecond: number, seconds: number): Promise<number> {
  let told = 0
  for (let second = 0; second < seconds; second++) {
    for (let i = 0; i < perSecond; i++) told = crowd.secondsToNext()
    await time.pass(1000)
  }
  return told
}

test('as long as there is time, machines come as often as configured, and nothing is said', async () => {
  busyMs = 900
  expect(await come(2000, 30)).toBe(4)
  expect(crowd.delay).toBe(0)
  expect(said).toEqual([])
})

test('with too much to do they are told to come later; both is said once, and the figure is there meanwhile', async () => {
  busyMs = 1000
  expect(await come(2000, 30)).toBeGreaterThan(4)
  expect(crowd.delay).toBeGreaterThan(0)
  expect(said).toEqual([[expect.stringContaining('come later'), { intervalSeconds: 5, insteadOf: 4 }]])
  busyMs = 100
  expect(await come(500, 9)).toBe(4)
  expect(said).toHaveLength(1)
  await come(500, 30)
  expect(crowd.delay).toBe(0)
  expect(said.slice(1)).toEqual([[expect.stringContaining('as often as configured again'), { longestIntervalSeconds: expect.any(Number) }]])
})

test('its own measure: a loop that is busy', async () => {
  jest.useRealTimers()
  crowd.stop()
  const clock = { monotonic: () => 0 }
  crowd = createCrowd({ quoteInterval: 4, clock, logger: { info: () => undefined } })
  const until = performance.now() + 1100
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (let i = 0; i < 2000; i++) crowd.secondsToNext() // of 5 ms each, as none was taken in that second
  expect(crowd.delay).toBeGreaterThanOrEqual(3)
})
