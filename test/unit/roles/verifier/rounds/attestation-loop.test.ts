import { jest } from '@jest/globals'
import type { AgentEffect, AgentEvent } from '../../../../../src/core/attestation/agent-state.ts'
import { createSerialQueue } from '../../../../../src/core/concurrency/serial-queue.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { type AttestationLoop, createAttestationLoop, type LoopOptions } from '../../../../../src/roles/verifier/rounds/attestation-loop.ts'
import type { RoundResult } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'
import { OPERATOR } from '../../../../verifier-events.ts'

const timing = { quoteInterval: 2, retryInterval: 1, exponentialBackoff: false, maxRetries: 3 }
const PASSED: AgentEvent = { type: 'quote_passed', vIsDue: true }
const gate = <T>() => Promise.withResolvers<T>()

let time: SimulatedTime
let loop: AttestationLoop
let agent: ManagedAgent
/** Where the loop stands still until a test lets it go on. */
let round: PromiseWithResolvers<RoundResult>
let recorded: PromiseWithResolvers<void>
let carried: PromiseWithResolvers<AgentEvent>
/** What the loop did, in order. */
let did: string[]
let along: unknown[]

beforeEach(() => {
  time = simulatedTime()
  ;[round, recorded, carried] = [gate(), gate(), gate()]
  did = []
  along = []
  const options = {
    round: () => {
      did.push('asked')
      return round.promise
    },
    keeper: {
      apply: async (_agent: unknown, event: AgentEvent, changes: unknown): Promise<readonly AgentEffect[]> => {
        did.push(event.type)
        along.push(changes)
        return event.type === 'quote_passed' ? [{ do: 'deliver_v' }] : []
      },
    },
    seeTo: async (_agent: unknown, result: RoundResult) => result,
    recorded: () => recorded.promise,
    carryV: () => {
      did.push('V leaves')
      return carried.promise
    },
    clock: time.clock,
    logger: silentLogger,
    timing,
  } as unknown as LoopOptions
  loop = createAttestationLoop(options)
  agent = {
    connection: {},
    enrolment: { agentId: 'a' },
    state: { polled: true },
    epoch: 0,
    removed: false,
    changes: createSerialQueue(),
  } as never
})
afterEach(async () => {
  await loop.stop()
  jest.useRealTimers()
})

/** An agent that was asked, and has not answered. */
async function asked(): Promise<void> {
  loop.begin(agent, 0)
  await time.pass(50)
  expect(did).toEqual(['asked'])
  did = []
}

test('V leaves when its release is recorded, and is erased when it is confirmed', async () => {
  await asked()
  round.resolve({ event: PASSED })
  await time.settle()
  expect(did).toEqual(['quote_passed'])
  recorded.resolve()
  carried.resolve({ type: 'v_delivered' })
  await time.settle()
  expect(did).toEqual(['quote_passed', 'V leaves', 'v_delivered'])
  expect(along.at(-1)).toEqual({ changes: { v: null, vState: 'delivered' } })
})

test('a V that did not arrive is not erased', async () => {
  await asked()
  round.resolve({ event: PASSED })
  recorded.resolve()
  carried.resolve({ type: 'unreachable', stage: 'v', attestedBefore: true, reason: 'r' })
  await time.settle()
  expect([did.at(-1), along.at(-1)]).toEqual(['unreachable', {}])
})

/** What the operator may say at any time, and what the loop does for it. */
const commands: [string, () => Promise<void>, string[]][] = [
  ['is stopped', () => loop.command(agent, { type: 'stopped' }, { type: 'agent_stopped', agent_id: 'a', operator: OPERATOR }), ['stopped']],
  [
    'is reactivated',
    () => loop.command(agent, { type: 'reactivated' }, { type: 'agent_reactivated', agent_id: 'a', operator: OPERATOR }),
    ['reactivated'],
  ],
  ['is let go', () => loop.pause(agent), []],
]

describe.each(commands)('when an agent %s meanwhile', (_what, command, itself) => {
  test('its answer says nothing any more', async () => {
    await asked()
    await command()
    round.resolve({ event: PASSED, supportedVersion: '2.6' })
    await time.settle()
    expect([did, agent.state]).toEqual([itself, { polled: true }])
  })
  test('a fault of its round says nothing any more', async () => {
    await asked()
    await command()
    round.reject(new Error('a bug'))
    await time.settle()
    expect(did).toEqual(itself)
  })
  test('V does not leave, although its release was decided', async () => {
    await asked()
    round.resolve({ event: PASSED })
    await time.settle()
    await command()
    recorded.resolve()
    await time.settle()
    expect(did).toEqual(['quote_passed', ...itself])
  })
  test('what came of a V that has left is not put over what was said', async () => {
    await asked()
    round.resolve({ event: PASSED })
    recorded.resolve()
    await time.settle()
    await command()
    carried.resolve({ type: 'refused', stage: 'v', reason: 'no' })
    await time.settle()
    expect(did).toEqual(['quote_passed', 'V leaves', ...itself])
  })
})

test('a fault of a round is a failed round', async () => {
  await asked()
  round.reject(new Error('a bug'))
  await time.settle()
  expect(did).toEqual(['exception'])
})
