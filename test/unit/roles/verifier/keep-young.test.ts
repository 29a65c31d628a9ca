import { jest } from '@jest/globals'
import { type Aging, keepYoung } from '../../../../src/roles/verifier/keep-young.ts'
import { type SimulatedTime, simulatedTime } from '../../../simulated-time.ts'

const HOUR = 3_600_000
let time: SimulatedTime
let did: string[]
let errors: string[]
let aging: Aging
beforeEach(() => {
  time = simulatedTime()
  did = []
  errors = []
  aging = {
    history: { sweep: async () => did.push('history') },
    sweepRevocations: async ({ endedBy, doneBy }) => did.push(`revocations ${time.clock.now() - endedBy} ${time.clock.now() - doneBy}`),
    retrySeconds: 10,
    clock: time.clock,
    logger: { error: (message: string) => void errors.push(message) } as never,
  }
})
afterEach(() => {
  jest.useRealTimers()
})

test('what is too old is erased at the start and each hour, revocations an hour after everybody was told, or after the last try', async () => {
  const end = keepYoung(aging)
  await time.settle()
  const all = ['history', `revocations ${HOUR + 10_000} ${HOUR}`]
  expect(did).toEqual(all)
  await time.pass(2 * HOUR)
  expect(did).toEqual([...all, ...all, ...all])
  await end()
  await time.pass(2 * HOUR)
  expect(did).toHaveLength(6)
})

test('what cannot be erased is told, and hinders nothing else', async () => {
  const full = async () => Promise.reject(new Error('the disk is full'))
  const end = keepYoung({ ...aging, history: { sweep: full } })
  await time.settle()
  expect(did).toEqual([`revocations ${HOUR + 10_000} ${HOUR}`])
  expect(errors).toEqual(['old entries of the history cannot be removed yet: the disk is full'])
  await end()
})

test('the end waits for the slice that is being erased, and says that it shall be the last', async () => {
  const slice = Promise.withResolvers<number>()
  let isEnding = false
  const end = keepYoung({
    ...aging,
    sweepRevocations: (_swept, signal) => {
      signal.addEventListener('abort', () => (isEnding = true))
      return slice.promise
    },
  })
  await time.settle()
  let ended = false
  const ending = end().then(() => {
    ended = true
  })
  await time.settle()
  expect([isEnding, ended]).toEqual([true, false])
  slice.resolve(1)
  await ending
})
