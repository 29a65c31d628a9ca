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
