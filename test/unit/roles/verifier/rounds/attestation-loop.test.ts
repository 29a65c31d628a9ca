import { jest } from '@jest/globals'
import type { AgentEffect, AgentEvent } from '../../../../../src/core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../../../src/core/attestation/operational-state.ts'
import { createSerialQueue } from '../../../../../src/core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../../../../src/core/errors.ts'
import { leaseLost } from '../../../../../src/io/db/lease-store.ts'
import { AWAY } from '../../../../../src/io/db/postgres-errors.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { type AttestationLoop, createAttestationLoop, type LoopOptions } from '../../../../../src/roles/verifier/rounds/attestation-loop.ts'
import type { RoundResult } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'
import { OwnTrouble } from '../../../../../src/roles/verifier/rounds/own-trouble.ts'
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
let events: AgentEvent[]
/** What machines answer, where that is not one gate for all. */
let answers: ((asked: ManagedAgent) => RoundResult | Promise<RoundResult>) | null
/** When each machine was asked. */
let askedAt: Map<ManagedAgent, number[]>
/** What is done where a round brought no quote. */
let seesTo: (result: RoundResult) => Promise<RoundResult>
/** What else it did. */
let beside: string[]
/** What the keeper says to do after a quote that passed. */
/** Share of its time in which the event loop has something to do. */
let busy = 0
let effects: AgentEffect[]
/** What is made of a verdict. */
let verdicts: (verdict: unknown) => readonly AgentEffect[]
/** What the keeper throws. */
let unwritable: Error | null

beforeEach(() => {
  time = simulatedTime()
  ;[round, recorded, carried] = [gate(), gate(), gate()]
  did = []
  along = []
  beside = []
  effects = [{ do: 'deliver_v' }]
  unwritable = null
  answers = null
  askedAt = new Map()
  events = []
  seesTo = async (result) => result
  verdicts = (verdict) => {
    did.push(`judged ${verdict}`)
    return []
  }
  const options = {
    round: (asked: ManagedAgent) => {
      did.push('asked')
      askedAt.set(asked, [...(askedAt.get(asked) ?? []), time.clock.monotonic()])
      return answers ? answers(asked) : round.promise
    },
    keeper: {
      apply: async (_agent: unknown, event: AgentEvent, changes: unknown): Promise<readonly AgentEffect[]> => {
        did.push(event.type)
        events.push(event)
        along.push(changes)
        if (unwritable) throw unwritable
        if (event.type === 'unreachable') return effects.filter((effect) => effect.do === 'ask_quote')
        return event.type === 'quote_passed' ? effects : []
      },
    },
    applyVerdict: (_agent: unknown, verdict: unknown) => verdicts(verdict),
    seeTo: async (_agent: unknown, result: RoundResult) => {
      beside.push('seen to')
      return seesTo(result)
    },
    introduce: async () => void beside.push('introduced'),
    recorded: () => recorded.promise,
    lost: () => void beside.push('lost'),
    carryV: () => {
      did.push('V leaves')
      return carried.promise
    },
    busy: () => busy,
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

test('that the database is away is no failure of a machine: it is asked again after the interval', async () => {
  await asked()
  round.reject(new KeylimeError('unavailable', 'the database is away', { details: AWAY }))
  await time.settle()
  expect(did).toEqual([])
  await time.pass(2100)
  expect(did[0]).toBe('asked')
})

test('a machine that another verifier attests by now is left alone', async () => {
  await asked()
  round.reject(leaseLost('a'))
  await time.settle()
  expect([did, beside]).toEqual([[], ['lost']])
  await time.pass(5000)
  expect(did).toEqual([])
})

test('what a machine does not take of what an operator sealed for it is its report, and V is erased', async () => {
  agent.delivery = { enrolment: 'e', generation: 1, orderedAt: 0, isKept: true, report: null }
  await asked()
  round.resolve({ event: PASSED })
  recorded.resolve()
  carried.resolve({ type: 'delivery_refused', reason: 'no' })
  await time.settle()
  expect(along.at(-1)).toMatchObject({ changes: { v: null, vState: 'none' }, report: { state: 'refused', error: 'no', generation: 1 } })
})

test('a V that is to be fetched has come to no end yet', async () => {
  await asked()
  round.resolve({ event: PASSED })
  recorded.resolve()
  carried.resolve(null as never)
  await time.settle()
  expect(did).toEqual(['quote_passed', 'V leaves'])
})

test('V waits while it cannot be recorded that it leaves, and the machine is asked again', async () => {
  await asked()
  round.resolve({ event: PASSED })
  recorded.reject(new Error('an older database'))
  await time.pass(1900)
  expect(did).toEqual(['quote_passed'])
  await time.pass(150)
  expect(did.slice(0, 2)).toEqual(['quote_passed', 'asked'])
})

test('a failure that cannot be stored is kept in memory, and the machine is asked again', async () => {
  await asked()
  unwritable = new Error('the disk is full')
  round.reject(new Error('a bug'))
  await time.pass(1900)
  expect([did, agent.unstored]).toEqual([['exception'], 'a bug'])
  await time.pass(150)
  expect(did.slice(0, 2)).toEqual(['exception', 'asked'])
})

test('who shall come later is asked after the interval, and nothing is said of it', async () => {
  agent.partial = true
  await asked()
  round.resolve({ later: 'there is no room' })
  await time.pass(1950)
  expect(did).toEqual([])
  await time.pass(100)
  expect([did[0], agent.partial]).toEqual(['asked', false])
})

test.each([
  [
    'an answer',
    { round: { judged: { verdict: { outcome: 'passed' } }, toString: () => 'an answer' } },
    ['judged an answer'],
    ['introduced'],
  ],
  ['no answer', { event: { type: 'refused', stage: 'quote', reason: 'no' } }, ['refused'], ['seen to']],
] as const)('of %s the right one is told', async (_what, result, does, other) => {
  for (const connection of [{}, null]) {
    agent.connection = connection as never
    ;[did, beside] = [[], []]
    expect(await loop.take(agent, async () => ({ ...result, supportedVersion: '2.4' }) as never)).toBe(true)
    expect([did, beside]).toEqual([does, connection ? other : []])
    expect(agent.state.supportedVersion).toBe('2.4')
  }
})

test.each([
  [OPERATIONAL_STATE.FAILED, 4],
  [OPERATIONAL_STATE.GET_QUOTE, 0],
])('a machine of state %i that is taken up has tried %i times, and waits for its turn', async (operational, retries) => {
  agent.state = { ...agent.state, operational }
  agent.partial = true
  time.leap(5)
  loop.begin(agent, 1000)
  expect([agent.retries, agent.partial, agent.lastJudged]).toEqual([retries, false, 5])
  await time.pass(980)
  expect(did).toEqual([])
  await time.pass(50)
  expect(did).toEqual(['asked'])
})

test('nobody asks a machine that comes by itself, one that was let go, or any after the end', async () => {
  agent.connection = null
  loop.begin(agent, 0)
  await time.pass(50)
  agent.connection = {} as never
  agent.removed = true
  loop.begin(agent, 20)
  agent.removed = false // nor later, when that is over
  await time.pass(100)
  await loop.stop()
  loop.begin(agent, 0)
  await time.pass(50)
  expect(did).toEqual([])
})

test('one round at a time: what is due meanwhile begins after it', async () => {
  await asked()
  loop.hurry(agent)
  await time.pass(100)
  expect(did).toEqual([])
  expect(await loop.take(agent, async () => ({ event: PASSED }))).toBe(false)
  effects = []
  round.resolve({ event: PASSED })
  await time.pass(50)
  expect(did.slice(0, 2)).toEqual(['quote_passed', 'asked'])
})

test('who brings his evidence when he is due is not asked beside it, nor who is let go', async () => {
  loop.begin(agent, 100)
  const taken = loop.take(agent, () => round.promise)
  await time.pass(200)
  expect(did).toEqual([])
  effects = []
  round.resolve({ event: PASSED })
  expect(await taken).toBe(true)
  loop.begin(agent, 100)
  agent.removed = true
  await time.pass(200)
  expect(did).toEqual(['quote_passed'])
})

test('a round that waits for nothing is over when it was taken, and another may follow', () => {
  agent.connection = null
  effects = []
  const taken = loop.take(agent, () => ({ round: { judged: { verdict: { outcome: 'passed' } } } }) as never)
  expect(taken).not.toBeInstanceOf(Promise)
  expect([taken, agent.busy, loop.load().inFlight]).toEqual([true, false, 0])
})

test.each([
  ['throws', () => Promise.reject(new Error('a bug'))],
  [
    'throws at once',
    () => {
      throw new Error('a bug')
    },
  ],
])('a round that %s has failed, and ends', async (_, work) => {
  agent.connection = null
  expect(await loop.take(agent, work)).toBe(true)
  expect([did, agent.busy, loop.load().inFlight]).toEqual([['exception'], false, 0])
})

test.each([
  ['failed', 'exception'],
  ['passed', 'unreachable'],
  ['again', 'unreachable'],
])('that a verdict cannot be stored is held against a machine only if the verdict is: %s', async (outcome, event) => {
  const judged = { verdict: { outcome } }
  verdicts = () => {
    throw new Error('a bug')
  }
  agent.connection = null
  expect(await loop.take(agent, () => ({ round: { judged } }) as never)).toBe(true)
  expect([did, agent.busy]).toEqual([[event], false])
})

describe('our own trouble is no evidence against a machine', () => {
  const OURS = { type: 'unreachable', stage: 'quote', attestedBefore: false }
  const silent: RoundResult = { event: { type: 'unreachable', stage: 'quote', attestedBefore: true, reason: 'ECONNREFUSED' } }

  test('before it said anything: it counts as unreachable, nobody is told, and it is asked again', async () => {
    effects = [{ do: 'ask_quote', afterSeconds: 2, partial: false }]
    await asked()
    round.reject(new OwnTrouble(new RangeError('Port should be >= 0 and < 65536')))
    await time.settle()
    expect(events).toMatchObject([
      { ...OURS, reason: 'the verifier cannot ask it, which is its own fault: Port should be >= 0 and < 65536' },
    ])
    await time.pass(2100)
    expect(did.slice(0, 2)).toEqual(['unreachable', 'asked'])
  })

  test('after it fell silent', async () => {
    seesTo = async () => {
      throw new Error('a bug')
    }
    await asked()
    round.resolve(silent)
    await time.settle()
    expect(events).toMatchObject([OURS])
  })

  test('while V leaves', async () => {
    await asked()
    round.resolve({ event: PASSED })
    recorded.resolve()
    carried.reject(new RangeError('a port'))
    await time.settle()
    expect(did).toEqual(['quote_passed', 'V leaves', 'unreachable'])
  })

  test('a refusal stays one, whatever goes wrong after it', async () => {
    seesTo = async () => {
      throw new Error('a bug')
    }
    await asked()
    round.resolve({ event: { type: 'refused', stage: 'quote', reason: 'no' } })
    await time.settle()
    expect(did).toEqual(['exception'])
  })

  test('where not even that can be stored, it is not called good, and asked again', async () => {
    unwritable = new Error('the disk is full')
    await asked()
    round.reject(new OwnTrouble(new Error('a bug')))
    await time.pass(1900)
    expect([did, agent.unstored]).toEqual([['unreachable'], 'a bug'])
    await time.pass(150)
    expect(did.slice(0, 2)).toEqual(['unreachable', 'asked'])
  })
})

test('effects are done one after the other: what follows V waits until it is confirmed', async () => {
  effects = [{ do: 'deliver_v' }, { do: 'ask_quote', afterSeconds: 60, partial: true }]
  await asked()
  round.resolve({ event: PASSED })
  await time.pass(100)
  expect([did, loop.load().waiting]).toEqual([['quote_passed'], 0])
  recorded.resolve()
  carried.resolve({ type: 'v_delivered' })
  await time.pass(100)
  expect([did, agent.partial, loop.load().waiting]).toEqual([['quote_passed', 'V leaves', 'v_delivered'], true, 1])
})

test('what the verdict says is done: the next question, when and of what kind', async () => {
  effects = [{ do: 'ask_quote', afterSeconds: 2, partial: true }]
  await asked()
  round.resolve({ event: PASSED })
  await time.pass(1900)
  expect([did, agent.partial, agent.busy]).toEqual([['quote_passed'], true, false])
  await time.pass(150)
  expect(did[1]).toBe('asked')
})

test('who is hurried is asked at once and for the same, unless nobody asks it', async () => {
  loop.begin(agent, 5000)
  agent.partial = true
  agent.state = { ...agent.state, polled: false }
  loop.hurry(agent)
  await time.pass(50)
  expect(did).toEqual([])
  agent.state = { ...agent.state, polled: true }
  loop.hurry(agent)
  await time.pass(50)
  expect([did, agent.partial]).toEqual([['asked'], true])
})

test.each<[string, () => Promise<void>]>([
  ['a stop', () => loop.command(agent, { type: 'stopped' }, { type: 'agent_stopped', agent_id: 'a', operator: OPERATOR })],
  [
    'a pause',
    async () => {
      await loop.pause(agent)
      agent.state = { ...agent.state, polled: false }
      loop.resume(agent)
    },
  ],
])('who waits for its time is asked no more after %s', async (_what, happen) => {
  loop.begin(agent, 1000)
  agent.dueMs = 5
  await happen()
  await time.pass(1100)
  expect([did.includes('asked'), agent.dueMs]).toEqual([false, null])
})

test('a pause ends: the machine is asked at once, for all that it has', async () => {
  await loop.pause(agent)
  expect(agent.removed).toBe(true)
  agent.partial = true
  loop.resume(agent)
  await time.pass(50)
  expect([did, agent.partial, agent.removed]).toEqual([['asked'], false, false])
})

test('who is taken up again begins without failures; a stop leaves them', async () => {
  const [stopped, reactivated] = [
    { type: 'agent_stopped', agent_id: 'a', operator: OPERATOR },
    { type: 'agent_reactivated', agent_id: 'a', operator: OPERATOR },
  ] as const
  await loop.command(agent, { type: 'stopped' }, stopped)
  await loop.command(agent, { type: 'reactivated' }, reactivated)
  expect(along).toEqual([{ command: stopped }, { command: reactivated, changes: { failures: [], algorithms: null } }])
})

test.each(['removed', 'busy', 'known to a loop that has ended'])('evidence of a machine that is %s is not taken', async (what) => {
  if (what === 'removed') agent.removed = true
  else if (what === 'busy') agent.busy = true
  else await loop.stop()
  expect(await loop.take(agent, async () => ({ event: PASSED }))).toBe(false)
  expect(did).toEqual([])
})

test('the end waits for a V that has left until it is confirmed, or for five seconds', async () => {
  await asked()
  round.resolve({ event: PASSED })
  recorded.resolve()
  await time.settle()
  let ended = false
  const end = loop.stop().then(() => {
    ended = true
  })
  await time.settle()
  expect(ended).toBe(false)
  carried.resolve({ type: 'v_delivered' })
  await time.settle()
  await end
  expect(did.at(-1)).toBe('v_delivered')
})

/** Many machines, each of which answers when the test says so. */
function fleet(count: number, retries: number): ManagedAgent[] {
  return Array.from(
    { length: count },
    (_, i) => ({ ...agent, changes: createSerialQueue(), retries, enrolment: { agentId: `${retries}-${i}` } }) as never,
  )
}

test('machines that did not answer have places of their own: a thousand that hang hold up nobody', async () => {
  for (const silent of fleet(1000, 2))
    loop.begin(Object.assign(silent, { state: { polled: true, operational: OPERATIONAL_STATE.FAILED } }) as never, 0)
  await time.pass(20)
  expect(did).toHaveLength(128)
  for (const well of fleet(100, 0)) loop.begin(well, 0)
  await time.pass(20)
  expect(did).toHaveLength(228)
  expect(loop.load()).toEqual({ inFlight: 228, waiting: 872, lateMs: 0 })
})

test('a thousand that begin to hang at once, after they were attested again and again, hold up the others for less than an interval', async () => {
  effects = [{ do: 'ask_quote', afterSeconds: timing.quoteInterval, partial: true }]
  const hanging = fleet(1000, 0)
  const well = fleet(100, 0)
  answers = (machine) => (hanging.includes(machine) && time.clock.monotonic() > 3000 ? new Promise(() => {}) : { event: PASSED })
  for (const machine of [...hanging, ...well]) loop.begin(machine, 0)
  await time.pass(20_000)
  const gaps = well.flatMap((machine) => {
    const at = askedAt.get(machine)!
    return at.slice(1).map((ms, i) => ms - at[i]!)
  })
  expect(gaps.length).toBeGreaterThan(700)
  expect(Math.max(...gaps)).toBeLessThan(2 * timing.quoteInterval * 1000)
})

test('while many are enrolled and no time is left, few are asked for the first time; when the last was enrolled, all are', async () => {
  busy = 1
  const enrolled = fleet(500, 0)
  for (let i = 0; i < 50; i++) {
    for (const machine of enrolled.slice(i * 10, i * 10 + 10)) loop.beginNew(machine)
    await time.pass(20)
  }
  const few = did.length
  expect(few).toBeGreaterThan(20)
  expect(few).toBeLessThan(40)
  expect(loop.load()).toEqual({ inFlight: few, waiting: 500 - few, lateMs: 0 })
  loop.hurry(enrolled[499]!) // an operator's command does not wait behind the others
  await time.pass(20)
  expect(did).toHaveLength(few + 1)
  round.resolve({ event: PASSED } as never)
  await time.pass(2000)
  expect(did.filter((what) => what === 'asked').length).toBe(500)
})

test('what held up all of them leaves them spread again', async () => {
  effects = [{ do: 'ask_quote', afterSeconds: timing.quoteInterval, partial: true }]
  round.resolve({ event: PASSED } as never)
  const machines = fleet(100, 0)
  for (const machine of machines) loop.begin(machine, 100)
  time.leap(30_000)
  await time.pass(20)
  const asks = () => did.filter((what) => what === 'asked').length
  expect(asks()).toBe(100)
  await time.pass(900)
  expect(asks()).toBe(100)
  await time.pass(1100)
  expect(asks()).toBeGreaterThan(130)
  expect(asks()).toBeLessThan(170)
  await time.pass(1100)
  expect(asks()).toBeGreaterThan(195)
})

test('machines that fell silent together are asked at different times, none later than the delay', async () => {
  effects = [{ do: 'ask_quote', afterSeconds: 32, partial: false }]
  answers = () => ({ event: { type: 'unreachable', stage: 'quote', attestedBefore: true, reason: 'ECONNREFUSED' } })
  const gone = fleet(100, 0)
  for (const machine of gone)
    loop.begin(Object.assign(machine, { state: { polled: true, operational: OPERATIONAL_STATE.FAILED } }) as never, 0)
  await time.pass(33_000)
  const again = gone.map((machine) => askedAt.get(machine)![1]!)
  expect(Math.min(...again)).toBeGreaterThanOrEqual(16_000)
  expect(Math.min(...again)).toBeLessThan(18_000)
  expect(Math.max(...again)).toBeGreaterThan(30_000)
  expect(Math.max(...again)).toBeLessThanOrEqual(32_500)
})
