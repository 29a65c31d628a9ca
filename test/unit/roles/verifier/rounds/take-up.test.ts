import { jest } from '@jest/globals'
import type { StoredRecord } from '../../../../../src/core/attestation/stored-agent.ts'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import { KeylimeError } from '../../../../../src/core/errors.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import { createTakeUp, type TakeUpOptions } from '../../../../../src/roles/verifier/rounds/take-up.ts'

const LATER_MS = 5000
beforeEach(() => jest.useFakeTimers())
afterEach(() => jest.useRealTimers())

const stored = (polled = true) => ({ agentId: 'a', agent: { enrolment: { agentId: 'a' }, state: { polled } } }) as never as StoredRecord

/** One stored agent, whose opening ends as `outcomes` say, one after another; then it can be opened. */
function verifier(outcomes: Error[], record: StoredRecord | null = stored()) {
  const begun: string[] = []
  const said: string[] = []
  const refused: string[] = []
  const attested = new Map<string, object>()
  let kept = record
  const options = {
    agents: {
      get: (id: string) => attested.get(id),
      add: (agent: { id: string }) => attested.set(agent.id, agent),
      get size() {
        return attested.size
      },
    },
    store: { ids: async () => ['a'], page: async () => (kept ? [kept] : []), find: async () => kept },
    policies: { policyOf: async () => ({}) },
    opener: {
      open() {
        const failure = outcomes.shift()
        if (failure) throw failure
        return { id: 'a', state: { polled: true } }
      },
    },
    keeper: { applyStored: async (_: unknown, { reason }: { reason: string }) => void refused.push(reason) },
    loop: { begin: ({ id }: { id: string }) => begun.push(id) },
    wake: () => undefined,
    commands: createKeyedLock(),
    events: { raise: () => undefined },
    logger: { ...silentLogger, warn: (text: string) => said.push(text), error: (text: string) => said.push(text) },
    isOurs: () => true,
    quoteInterval: 2,
  } as never as TakeUpOptions
  return { takeUp: createTakeUp(options), begun, said, refused, forget: () => (kept = null) }
}
const noRoom = () => new KeylimeError('unavailable', 'no room to read its policy')

test('an agent whose policy could not be read for want of room is taken up later, as often as it takes', async () => {
  const { takeUp, begun, said } = verifier([noRoom(), noRoom()])
  expect(await takeUp.all()).toBe(0)
  expect(said).toEqual(['agent a is taken up later: no room to read its policy'])
  await jest.advanceTimersByTimeAsync(LATER_MS)
  expect([begun, said.length]).toEqual([[], 2])
  await jest.advanceTimersByTimeAsync(LATER_MS)
  expect(begun).toEqual(['a'])
  await jest.advanceTimersByTimeAsync(10 * LATER_MS)
  expect([begun, said.length]).toEqual([['a'], 2])
})

test('one that was deleted meanwhile is not', async () => {
  const { takeUp, begun, forget } = verifier([noRoom()])
  await takeUp.all()
  forget()
  await jest.advanceTimersByTimeAsync(10 * LATER_MS)
  expect(begun).toEqual([])
})

test('what fails for another reason is a failed agent with that reason, at once or later', async () => {
  const { takeUp, begun, refused } = verifier([noRoom(), new KeylimeError('not_found', 'its policy is gone')])
  await takeUp.all()
  await jest.advanceTimersByTimeAsync(LATER_MS)
  expect([begun, refused]).toEqual([[], ['its policy is gone']])
})

/** So many agents that are attested by the policy `p`, and what was asked for them. */
function users(
  count: number,
  { policyOf, commands = createKeyedLock() }: Pick<TakeUpOptions, 'commands'> & { policyOf(): Promise<object> },
) {
  const ids = Array.from({ length: count }, (_, i) => `agent-${i}`)
  const agents = new Map<string, { enrolment: object; policy: object }>(
    ids.map((agentId, i) => [
      agentId,
      { enrolment: { agentId, tpmPolicy: i % 2 ? 'odd' : '{}', runtimePolicy: 'p' }, policy: { refs: {} } },
    ]),
  )
  const options = { agents, store: { users: async () => ids }, policies: { policyOf }, commands, isOurs: () => true, wake: () => undefined }
  const takeUp = createTakeUp(options as never as TakeUpOptions)
  return { takeUp, judgedBy: () => new Set([...agents.values()].map(({ policy }) => (policy as { digest?: string }).digest)) }
}

test('a changed policy is read once for the agents of a page that must meet the same, and counts for all of them', async () => {
  jest.useRealTimers()
  let reads = 0
  const { takeUp, judgedBy } = users(1000, {
    commands: createKeyedLock(),
    policyOf: async () => ({ refs: {}, digest: `read ${reads++ % 2}` }),
  })
  expect(await takeUp.policyChanged('runtime', 'p')).toBe(1000)
  expect([reads, judgedBy()]).toEqual([10, new Set(['read 0', 'read 1'])]) // five pages, two kinds of agents
})

test('of two changes the last one counts, also for an agent that a command held up meanwhile', async () => {
  jest.useRealTimers()
  let stored = 'first'
  const commands = createKeyedLock()
  const command = Promise.withResolvers<void>()
  void commands.take('agent-0', () => command.promise)
  const { takeUp, judgedBy } = users(3, { commands, policyOf: async () => ({ refs: {}, digest: stored }) })
  const first = takeUp.policyChanged('runtime', 'p')
  await new Promise((done) => setImmediate(done))
  stored = 'second'
  const second = takeUp.policyChanged('runtime', 'p')
  command.resolve()
  await Promise.all([first, second])
  expect(judgedBy()).toEqual(new Set(['second']))
})

test('a machine that went to another verifier meanwhile is not taken up for a changed policy', async () => {
  jest.useRealTimers()
  const commands = createKeyedLock()
  const command = Promise.withResolvers<void>()
  void commands.take('agent-0', () => command.promise)
  let isOurs = true
  const found: string[] = []
  const store = { users: async () => ['agent-0'], find: async (id: string) => void found.push(id) }
  const options = { agents: new Map(), store, policies: {}, commands, isOurs: () => isOurs, wake: () => undefined }
  const changed = createTakeUp(options as never as TakeUpOptions).policyChanged('runtime', 'p')
  await new Promise((done) => setImmediate(done))
  isOurs = false
  command.resolve()
  await changed
  expect(found).toEqual([])
})
