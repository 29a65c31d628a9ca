import type { DeliveryReport } from '../../../../../src/core/api/push/delivery.ts'
import type { AgentEvent } from '../../../../../src/core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../../../src/core/attestation/operational-state.ts'
import { FRESH_PROGRESS, newState, type StoredDelivery, type StoredState } from '../../../../../src/core/attestation/stored-agent.ts'
import { createSerialQueue } from '../../../../../src/core/concurrency/serial-queue.ts'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { irrecoverable } from '../../../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY, judge } from '../../../../../src/core/verdict/severity.ts'
import type { StateChange } from '../../../../../src/io/db/verifier-store.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createStateKeeper, type StateKeeperOptions } from '../../../../../src/roles/verifier/verdicts/state-keeper.ts'
import { OPERATOR } from '../../../../verifier-events.ts'

const timing = { quoteInterval: 2, retryInterval: 1, exponentialBackoff: false, maxRetries: 3 }
const S = OPERATIONAL_STATE
const PASSED = { type: 'quote_passed', vIsDue: false } as const
const STOPPED = { type: 'stopped' } as const
const NOT_TAKEN_UP = { type: 'not_taken_up', reason: 'its policy is gone' } as const
const COMMAND: VerifierEvent = { type: 'agent_stopped', agent_id: 'a', operator: OPERATOR }
const FAILED: AgentEvent = {
  type: 'quote_failed',
  judgement: judge([irrecoverable('pcr_validation', 'invalid_pcr_7', { message: 'm' })], DEFAULT_SEVERITY),
}

/** A keeper whose store takes as long as a test wants, and refuses what a test wants. */
function bed(refuses: (change: StateChange) => boolean = () => false) {
  const stored: StateChange[] = []
  /** What the others are told, in order. */
  const told: unknown[] = []
  const logged: [string, object?][] = []
  const disk = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const store = {
    saveState: async (_id: string, change: StateChange) => {
      begun.resolve()
      await disk.promise
      if (refuses(change)) throw new Error('the disk is full')
      stored.push(change)
      return change.revocation && { stored: change.revocation }
    },
  }
  const log = (message: string, more?: object) => void logged.push(more ? [message, more] : [message])
  const keeper = createStateKeeper({
    store,
    timing,
    notifier: {
      prepare: ({ agentId }: { agentId: string }, type: string, { eventId }: { eventId: string }) => ({ agentId, type, eventId }),
      deliver: (revocation: unknown) => told.push(revocation),
    },
    events: { raise: (...events: VerifierEvent[]) => told.push(...events.map(({ type }) => type)) },
    logger: { debug: log, error: log },
  } as unknown as StateKeeperOptions)
  const agent = {
    enrolment: { agentId: 'a' },
    state: { ...newState('Vg==', '2.6'), operational: S.GET_QUOTE },
    progress: FRESH_PROGRESS,
    delivery: null,
    retries: 0,
    epoch: 0,
    unstored: 'a failure',
    removed: false,
    changes: createSerialQueue(),
  } as unknown as ManagedAgent
  return { keeper, agent, disk, begun: begun.promise, stored, told, logged }
}

/** The same, whose store takes no time. */
function readyBed(refuses?: (change: StateChange) => boolean) {
  const ready = bed(refuses)
  ready.disk.resolve()
  return ready
}

test('a change is what its agent is, when it is stored and not before', async () => {
  const { keeper, agent, disk, begun } = bed()
  const before = agent.state
  const applied = keeper.apply(agent, PASSED, { changes: { transportKey: 'key' } })
  await begun
  expect([agent.state, agent.unstored]).toEqual([before, 'a failure'])
  disk.resolve()
  expect(await applied).toEqual([{ do: 'ask_quote', afterSeconds: 2, partial: true }])
  expect(agent.state).toMatchObject({ operational: S.GET_QUOTE, transportKey: 'key', polled: true })
  expect(agent.unstored).toBeNull()
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
  const { keeper, agent, disk, begun, stored } = bed()
  const first = keeper.apply(agent, { type: 'quote_passed', vIsDue: true })
  const late = keeper.apply(agent, PASSED)
  await begun
  happen(agent)
  disk.resolve()
  expect(await late).toEqual([])
  await first
  expect(stored.map(({ state }) => state.operational)).toEqual([S.PROVIDE_V])
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

test('of a failure the others are told what was stored with it, after it was', async () => {
  const { keeper, agent, disk, begun, stored, told } = bed()
  const applied = keeper.apply(agent, FAILED, { command: COMMAND })
  await begun
  expect(told).toEqual([])
  disk.resolve()
  expect(await applied).toEqual([expect.objectContaining({ do: 'record' }), expect.objectContaining({ do: 'announce' })])
  const revocation = { agentId: 'a', type: 'revocation', eventId: 'pcr_validation.invalid_pcr_7' }
  expect(stored).toMatchObject([{ revocation, state: { operational: S.INVALID_QUOTE, polled: false } }])
  expect(stored[0]!.state.failures.map(({ eventId }) => eventId)).toEqual(['pcr_validation.invalid_pcr_7'])
  expect(stored[0]!.events!.map(({ type }) => type)).toEqual(['agent_failed', 'agent_stopped'])
  expect(told).toEqual(['agent_failed', { stored: revocation }]) // the command is told by who takes it
})

test('nobody is told of a failure that is not stored', async () => {
  const { keeper, agent, told } = readyBed(() => true)
  await expect(keeper.apply(agent, FAILED)).rejects.toThrow('the disk is full')
  expect(told).toEqual([])
})

test('where nothing is announced nothing is stored or sent to the others', async () => {
  const { keeper, agent, stored, told } = readyBed()
  await keeper.apply(agent, PASSED)
  expect(stored).toMatchObject([{ revocation: null, events: [{ type: 'agent_attested' }] }])
  expect(told).toEqual(['agent_attested'])
})

test('tries are counted, and said to who looks', async () => {
  const { keeper, agent, logged } = readyBed()
  const silent: AgentEvent = { type: 'unreachable', stage: 'quote', attestedBefore: true, reason: 'no answer' }
  for (const retries of [1, 2, 3, 4]) {
    await keeper.apply(agent, silent)
    expect(agent.retries).toBe(retries)
  }
  expect(agent.state.operational).toBe(S.FAILED)
  expect(logged[0]).toEqual(['agent a: unreachable: no answer', { try: 1 }])
  await keeper.apply(agent, PASSED)
  expect([agent.retries, logged.length]).toEqual([0, 4])
})

test.each<[string, object, object, boolean]>([
  ['was attested', { attestationCount: 1 }, { vState: 'none' }, true],
  ['may have V', {}, { vState: 'releasing' }, true],
  ['has V', {}, { vState: 'delivered' }, true],
  ['waits for V', {}, { vState: 'held' }, false],
  ['was enrolled just now', { attestationCount: 0 }, { vState: 'none' }, false],
])('that a machine which %s says no is told: %#', async (_what, progress, state, isTold) => {
  const { keeper, agent, stored } = readyBed()
  agent.progress = { ...FRESH_PROGRESS, ...progress }
  agent.state = { ...agent.state, ...state }
  await keeper.apply(agent, { type: 'refused', stage: 'quote', reason: 'no' })
  expect(stored[0]!.revocation !== null).toBe(isTold)
})

test.each<[StoredState['operational'], AgentEvent, boolean]>([
  [S.TENANT_FAILED, PASSED, false],
  [S.TENANT_FAILED, FAILED, false],
  [S.TERMINATED, PASSED, false],
  [S.TENANT_FAILED, STOPPED, true],
  [S.TENANT_FAILED, { type: 'reactivated' }, true],
  [S.FAILED, PASSED, true],
])('of a machine in state %i the event %j is stored: %s', async (operational, event, isStored) => {
  const { keeper, agent, stored } = readyBed()
  agent.state = { ...agent.state, operational }
  const effects = await keeper.apply(agent, event)
  expect(stored).toHaveLength(isStored ? 1 : 0)
  if (!isStored) expect([effects, agent.state.operational]).toEqual([[], operational])
})

const story = { at: 1, evidence: Buffer.from('evidence'), cut: [] } as never

test.each<[string, (change: StateChange) => boolean, object | null]>([
  ['without the evidence', ({ failedRound }) => failedRound?.evidence != null, { at: 1, evidence: null, cut: ['evidence'] }],
  ['without the story', ({ failedRound }) => failedRound !== null, null],
])('a verdict whose story cannot be stored is stored %s', async (_what, refuses, kept) => {
  const { keeper, agent, stored, told, logged } = readyBed(refuses)
  await keeper.apply(agent, FAILED, { failedRound: story })
  expect(stored.map(({ failedRound }) => failedRound)).toEqual([kept])
  expect(told).toContain('agent_failed')
  expect(logged[0]).toEqual(['agent a: the evidence of its failure cannot be stored: the disk is full'])
})

const ORDERED: StoredDelivery = { enrolment: 'e', generation: 1, orderedAt: 0, isKept: true, report: null }
const UNPACKED: DeliveryReport = {
  ...{ enrolment: 'e', generation: 1, state: 'unpacked', files: 2, script: 'done', proof: 'p' },
  ...{ script_exit: 0, script_error: null, error: null },
}
const HEARD = { ...ORDERED, report: UNPACKED }

test.each<[string, StoredDelivery | null, StoredState['vState'], DeliveryReport | null, StoredDelivery | undefined]>([
  ['nothing was ordered', null, 'delivered', UNPACKED, undefined],
  ['nothing is new', HEARD, 'held', UNPACKED, undefined],
  ['nothing is said', ORDERED, 'releasing', null, undefined],
  ['something is said', ORDERED, 'releasing', UNPACKED, HEARD],
  ['V is there', HEARD, 'delivered', null, { ...HEARD, isKept: false }],
  ['V is gone', HEARD, 'none', null, { ...HEARD, isKept: false }],
  ['it was emptied before', { ...HEARD, isKept: false }, 'held', null, undefined],
])('of a delivery is stored what is new, when %s', async (_when, before, vState, report, after) => {
  const { keeper, agent, stored, told } = readyBed()
  agent.delivery = before
  await keeper.apply(agent, PASSED, { changes: { vState, algorithms: null }, report })
  expect(stored[0]!.delivery).toEqual(after)
  expect(agent.delivery).toEqual(after ?? before)
  const ended = before === ORDERED && report !== null
  expect(told).toEqual(['agent_attested', ...(ended ? ['delivery_ended'] : [])])
})

describe('an agent that nobody attests', () => {
  const failures = [irrecoverable('internal', 'earlier', { message: 'm' })]
  const record = (changes: Partial<StoredState> = {}) => {
    const { agent } = bed()
    return { enrolment: agent.enrolment, progress: FRESH_PROGRESS, state: { ...agent.state, failures, ...changes } }
  }

  test('is failed when it cannot be taken up, tried again at the next start, and told of to those who listen here alone', async () => {
    const { keeper, stored, told } = readyBed()
    await keeper.applyStored(record({ vState: 'delivered' }), NOT_TAKEN_UP)
    expect(stored).toMatchObject([
      { state: { operational: S.FAILED, polled: true }, progress: FRESH_PROGRESS, revocation: null, failedRound: null },
    ])
    expect(stored[0]!.state.failures.map(({ eventId }) => eventId)).toEqual(['internal.verifier.not_taken_up'])
    expect(stored[0]!.events).toEqual([{ type: 'agent_not_taken_up', agent_id: 'a', reason: 'its policy is gone' }])
    expect(told).toEqual(['agent_not_taken_up'])
  })

  test('is stopped, with what is known of it and who said so', async () => {
    const { keeper, stored, told } = readyBed()
    await keeper.applyStored(record(), STOPPED, COMMAND)
    expect(stored).toMatchObject([{ state: { operational: S.TENANT_FAILED, polled: false, failures }, events: [COMMAND] }])
    expect(told).toEqual([])
  })

  test('is told of when that is stored, and not before', async () => {
    const { keeper, told } = readyBed(() => true)
    await expect(keeper.applyStored(record(), NOT_TAKEN_UP)).rejects.toThrow('the disk is full')
    expect(told).toEqual([])
  })
})
