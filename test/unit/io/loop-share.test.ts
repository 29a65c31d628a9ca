import { performance } from 'node:perf_hooks'
import { createLoopShare } from '../../../src/io/loop-share.ts'

test('it says what the runtime counted since the look before, ten times a second', () => {
  let nowMs = 0
  let active = 0
  const share = createLoopShare(
    (since) => ({ idle: nowMs - active, active, utilization: since ? (active - since.active) / (nowMs - since.active - since.idle) : 0 }),
    () => nowMs,
  )
  const after = (ms: number, busyMs: number) => {
    nowMs += ms
    active += busyMs
    return share()
  }
  expect([after(50, 50), after(50, 0), after(99, 99), after(1, 1), after(1000, 10)]).toEqual([0, 0.5, 0.5, 1, 0.01])
})

test('the runtime counts a loop that is held up as busy', () => {
  const share = createLoopShare()
  const end = performance.now() + 120
  while (performance.now() < end); // holds it up
  expect(share()).toBeGreaterThanOrEqual(0)
  expect(share()).toBeLessThanOrEqual(1)
})
