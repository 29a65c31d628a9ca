import { jest } from '@jest/globals'
import type { Logger } from '../../../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createProgressWriter } from '../../../../../src/roles/verifier/agents/progress-writer.ts'

afterEach(() => void jest.useRealTimers())

const agentOf = (agentId: string) => ({ enrolment: { agentId }, progress: {}, removed: false }) as unknown as ManagedAgent

/** A writer whose database is away while `isAway`. */
function bed() {
  jest.useFakeTimers()
  const world = { isAway: false, told: [] as string[], saved: [] as string[][] }
  const logger = { error: (text: string) => world.told.push(text) } as unknown as Logger
  const store = {
    async saveProgress(rows: readonly { agentId: string }[]) {
      if (world.isAway) throw new Error('the database is away')
      world.saved.push(rows.map(({ agentId }) => agentId))
    },
  }
  return { world, writer: createProgressWriter({ store, clock: { monotonic: Date.now }, logger }) }
}

const toldOf = (whose: string) => `counters of ${whose} cannot be written now, and attestation goes on: the database is away`

test('while counters cannot be written that is said at once, and then once a minute with how many wait; none is lost', async () => {
  const { world, writer } = bed()
  world.isAway = true
  writer.mark(agentOf('a'))
  await jest.advanceTimersByTimeAsync(1000)
  expect(world.told).toEqual([toldOf('1 agent')])
  for (const id of ['b', 'c']) writer.mark(agentOf(id))
  await jest.advanceTimersByTimeAsync(58_000)
  expect(world.told).toHaveLength(1)
  await jest.advanceTimersByTimeAsync(122_000)
  expect(world.told).toEqual([toldOf('1 agent'), toldOf('3 agents'), toldOf('3 agents'), toldOf('3 agents')])
  world.isAway = false
  await writer.stop()
  expect(world.saved).toEqual([['a', 'b', 'c']])
})

test('when it goes away again that is said at once', async () => {
  const { world, writer } = bed()
  for (const isAway of [true, false, true]) {
    world.isAway = isAway
    writer.mark(agentOf('a'))
    await jest.advanceTimersByTimeAsync(2000)
  }
  expect(world.told).toEqual([toldOf('1 agent'), toldOf('1 agent')])
  await writer.stop()
})
