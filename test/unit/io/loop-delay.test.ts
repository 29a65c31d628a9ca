import { setTimeout as sleep } from 'node:timers/promises'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { guardLoopDelay, type LoopDelayGuard } from '../../../src/io/loop-delay.ts'
import { until } from '../../servers.ts'

function hold(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

/** How many turns were counted after one more: one that begins just after the guard looked may be missed. */
async function held(guard: LoopDelayGuard): Promise<number> {
  await sleep(20)
  hold(150)
  await sleep(150)
  return guard.read().turnsOver50ms
}

test('a turn that holds up the loop is counted, and told with its length; the next ones only after a while', async () => {
  const lines: string[] = []
  const guard = guardLoopDelay({ ...silentLogger, warn: (text) => lines.push(text) })
  const before = await until('a turn to be counted', () => held(guard))
  expect(guard.read().max).toBeGreaterThan(100)
  expect(guard.read().max).toBeGreaterThanOrEqual(guard.read().p99)
  expect(Number(/^the event loop was held up for (\d+) ms$/.exec(lines[0]!)?.[1])).toBeGreaterThan(100)
  await until('the next turn', async () => (await held(guard)) > before)
  expect(lines).toHaveLength(1)
  guard.stop()
})

test('after its end nothing is counted', async () => {
  const guard = guardLoopDelay(silentLogger)
  guard.stop()
  hold(150)
  await sleep(30)
  expect(guard.read().turnsOver50ms).toBe(0)
})
