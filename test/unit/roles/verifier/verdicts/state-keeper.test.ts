import { OPERATIONAL_STATE } from '../../../../../src/core/attestation/operational-state.ts'
import { FRESH_PROGRESS, newState, type StoredState } from '../../../../../src/core/attestation/stored-agent.ts'
import { createSerialQueue } from '../../../../../src/core/concurrency/serial-queue.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createStateKeeper, type StateKeeperOptions } from '../../../../../src/roles/verifier/verdicts/state-keeper.ts'

const timing = { quoteInterval: 2, retryInterval: 1, exponentialBackoff: false, maxRetries: 3 }
const PASSED = { type: 'quote_passed', vIsDue: false } as const
const STOPPED = { type: 'stopped' } as const

/** A keeper whose store takes as long as a test wants. */
function bed() {
  const stored: StoredState[] = []
  const disk = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const store = {
    saveState: async (_id: string, { state }: { state: StoredState }) => {
      begun.resolve()
      await disk.promise
      stored.push(state)
      return null
    },
  }
  const keeper = createStateKeeper({
    store,
    timing,
    events: { raise: () => {} },
    logger: silentLogger,
  } as unknown as StateKeeperOptions)
  const state = { ...newState('Vg==', '2.6'), operational: OPERATIONAL_STATE.GET_QUOTE }
  const agent = {
    enrolment: { agentId: 'a' },
    state,
    progress: FRESH_PROGRESS,
    retries: 0,
    epoch: 0,
    removed: false,
  } as unknown as ManagedAgent
  Object.assign(agent, { changes: createSerialQueue() })
  return { keeper, agent, disk, begun: begun.promise, stored }
}

test('a change is what its agent is, when it is stored and not before', async () => {
  const { keeper, agent, disk, begun } = bed()
  const before = agent.state
  const applied = keeper.apply(agent, PASSED, { changes: { transportKey: 'key' } })
  await begun
  expect(agent.state).toBe(before)
  disk.resolve()
  expect(await applied).toEqual([{ do: 'ask_quote', afterSeconds: 2, partial: true }])
  expect(agent.state).toMatchObject({ operational: OPERATIONAL_STATE.GET_QUOTE, transportKey: 'key' })
})

test('a change that is not stored has not happened', async () => {
  const { keeper, agent, disk } = bed()
  const before = agent.state
  disk.reject(new Error('the disk is full'))
  await expect(keeper.apply(agent, PASSED)).rejects.toThrow('the disk is full')
  expect(agent.state).toBe(before)
})

test.each<[string, (agent: ManagedAgent) => void]>([
  ['the operator has commanded', (agent) => agent.epoch++],
  ['is removed', (agent) => (agent.removed = true)],
])('what waits for its turn is not stored when its agent %s meanwhile', async (_what, happen) => {
  const { keeper, agent, disk, stored } = bed()
  const command = keeper.apply(agent, STOPPED)
  const late = keeper.apply(agent, PASSED)
  happen(agent)
  disk.resolve()
  expect(await late).toEqual([])
  await command
  expect(stored.map(({ operational }) => operational)).not.toContain(OPERATIONAL_STATE.GET_QUOTE)
})

test('what was being stored leads to nothing when the operator commands meanwhile', async () => {
  const { keeper, agent, disk, begun, stored } = bed()
  const applied = keeper.apply(agent, PASSED)
  await begun
  agent.epoch++
  disk.resolve()
  expect(await applied).toEqual([])
  expect(stored).toHaveLength(1)
})
