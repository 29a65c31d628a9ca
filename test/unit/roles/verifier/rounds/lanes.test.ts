import { jest } from '@jest/globals'
import { OPERATIONAL_STATE, type OperationalState } from '../../../../../src/core/attestation/operational-state.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createLanes, type Lanes } from '../../../../../src/roles/verifier/rounds/lanes.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

const { FAILED, GET_QUOTE, GET_QUOTE_RETRY } = OPERATIONAL_STATE
const TICK = 20
const LONGEST_DELAY = 32_000

let time: SimulatedTime
let lanes: Lanes
/** When each was asked, in order. */
let asked: { agent: ManagedAgent; at: number }[]
/** What an answer makes of it. */
let answer: (agent: ManagedAgent) => void

beforeEach(() => {
  time = simulatedTime()
  asked = []
  answer = found
  const ask = async (agent: ManagedAgent) => {
    asked.push({ agent, at: time.clock.monotonic() })
    answer(agent)
  }
  lanes = createLanes({ clock: time.clock, run: ask, runSilent: ask, busy: () => 0 })
})
afterEach(() => {
  lanes.stop()
  jest.useRealTimers()
})

const machine = (operational: OperationalState, retries: number) => ({ state: { operational }, retries }) as unknown as ManagedAgent
const gone = (count: number) => Array.from({ length: count }, () => machine(FAILED, 6))

function found(agent: ManagedAgent): void {
  Object.assign(agent, machine(GET_QUOTE, 0))
}

test('a fleet that was cut off is found again as soon as the first of its machines is', async () => {
  const fleet = gone(1000)
  for (const [i, agent] of fleet.entries()) lanes.schedule(agent, 1000 + (i * LONGEST_DELAY) / fleet.length)
  await time.pass(1000 + 2 * TICK)
  expect(asked).toHaveLength(1000)
  expect(new Set(asked.map(({ agent }) => agent)).size).toBe(1000)
})

test('nobody is brought forward by a machine that is silent still, that says no, or that was only tried again', async () => {
  const others = gone(10)
  for (const agent of others) lanes.schedule(agent, LONGEST_DELAY)
  answer = (agent) => {
    agent.retries = 7
  }
  lanes.schedule(gone(1)[0]!, 0)
  await time.pass(2 * TICK)
  answer = (agent) => {
    agent.retries = 0 // it refuses, and polling ends
  }
  lanes.schedule(gone(1)[0]!, 0)
  await time.pass(2 * TICK)
  answer = found
  lanes.schedule(machine(GET_QUOTE_RETRY, 1), 0)
  lanes.schedule(machine(GET_QUOTE, 0), 0)
  await time.pass(2 * TICK)
  expect(asked.filter(({ agent }) => others.includes(agent))).toEqual([])
})

test('tries that are still to be made keep their times: a machine is not told to be gone sooner because others came back', async () => {
  const tried = machine(GET_QUOTE_RETRY, 2)
  const [first, second] = gone(2)
  lanes.schedule(tried, 4000)
  lanes.schedule(second!, 8000)
  lanes.schedule(first!, 100)
  await time.pass(100 + 2 * TICK)
  expect(asked.map(({ agent }) => agent)).toEqual([first, second])
  await time.pass(4000)
  expect(asked.at(-1)).toEqual({ agent: tried, at: 4000 })
})

test('one machine that comes and goes costs two questions each time, however many are gone', async () => {
  const others = gone(1000)
  for (const agent of others) lanes.schedule(agent, LONGEST_DELAY)
  const [flapping] = gone(1)
  answer = (agent) => {
    if (agent === flapping) found(agent)
    else lanes.schedule(agent, LONGEST_DELAY)
  }
  for (let times = 1; times <= 5; times++) {
    Object.assign(flapping!, gone(1)[0])
    lanes.schedule(flapping!, 0)
    await time.pass(2 * TICK)
    expect(asked.filter(({ agent }) => agent !== flapping)).toHaveLength(2 * times)
  }
})
