import path from 'node:path'
import { limitsWithFault } from '../../mutation/try-mutants.ts'
import { processorSeconds, WarmProcess } from '../../mutation/warm-process.ts'

const script = path.relative(path.resolve(import.meta.dirname, '../../mutation'), path.join(import.meta.dirname, 'works-or-waits.ts'))
const warm = new WarmProcess({ script, directory: import.meta.dirname, nodeOptions: [], runs: 10 })
afterAll(() => warm.stop())
const TIME_OUT = { passed: false, failed: ['time-out'] }

test('what waits uses no processor, and is not ended for the time that it waits', async () => {
  const run = await warm.run({ wait: 1500 }, { processor: 1, clock: 60 })
  expect(run).toMatchObject({ passed: true, count: 1 })
  expect(run.clock).toBeGreaterThan(1.4)
  expect(run.processor).toBeLessThan(1)
})

test('what works without end is ended by what it used of the processor, what waits without end by the clock', async () => {
  const worked = await warm.run({ work: 60_000 }, { processor: 0.5, clock: 60 })
  expect(worked).toMatchObject(TIME_OUT)
  expect(worked.processor).toBeGreaterThan(0.5)
  expect(await warm.run({ wait: 60_000 }, { processor: 30, clock: 0.5 })).toMatchObject(TIME_OUT)
  expect(await warm.run({}, { processor: 30, clock: 60 })).toMatchObject({ passed: true })
})

test('a test that waits long and works little may do both with a fault', () => {
  const { processor, clock } = limitsWithFault({ processor: 1, clock: 50 })
  expect([processor < 20, clock > 4 * 50]).toEqual([true, true])
})

test('a process that is gone has used nothing', () => expect(processorSeconds(2 ** 22 + 1)).toBe(0))
