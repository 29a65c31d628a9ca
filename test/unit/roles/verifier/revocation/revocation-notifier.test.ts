import { jest } from '@jest/globals'
import type { Enrolment } from '../../../../../src/core/attestation/stored-agent.ts'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { irrecoverable } from '../../../../../src/core/verdict/failure.ts'
import type {
  DeliveryResult,
  NewRevocation,
  PendingDelivery,
  PendingQuestion,
  StoredRevocation,
} from '../../../../../src/io/db/revocation-store.ts'
import { NoticeOutbox } from '../../../../../src/roles/verifier/revocation/notice-outbox.ts'
import {
  createRevocationNotifier,
  type RevocationNotifier,
  type RevocationNotifierOptions,
} from '../../../../../src/roles/verifier/revocation/revocation-notifier.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

let time: SimulatedTime
let notifier: RevocationNotifier
/** What the store says is not done. */
let pending: PendingDelivery[]
let looks: number[]
let posted: number[]
let stored: DeliveryResult[][]
let raised: string[]
let isFull: boolean
let hook: () => Promise<void>
let look: Promise<void>
let isAttestedHere: boolean
let outbox: NoticeOutbox

const revocation = (id: number): StoredRevocation =>
  ({
    id,
    agentId: 'liar',
    type: 'revocation',
    text: '{}',
    signature: 's',
    verifierSignature: '',
    createdAt: time.clock.now(),
    targets: ['webhook'],
  }) as const

beforeEach(() => {
  time = simulatedTime()
  ;[pending, looks, posted, stored, raised, isFull] = [[], [], [], [], [], false]
  hook = async () => undefined
  look = Promise.resolve()
  isAttestedHere = true
  outbox = new NoticeOutbox(time.clock)
  notifier = createRevocationNotifier({
    store: {
      async pending({ after, limit }: PendingQuestion) {
        const behind = pending.filter((delivery) => !after || delivery.revocation.id > after.revocation.id).slice(0, limit)
        looks.push(behind.length)
        await look
        return behind
      },
      add: async (notice: NewRevocation) => ({ ...notice, id: 99 }),
      async record(results: DeliveryResult[]) {
        if (isFull) throw new Error('the disk is full')
        stored.push(results)
        pending = pending.filter(({ revocation: { id } }) => !results.some((r) => r.revocationId === id && r.state !== 'pending'))
      },
    },
    senders: new Map([
      [
        'webhook',
        async () => {
          posted.push(time.clock.monotonic())
          await hook()
        },
      ],
    ]),
    ...{
      agents: { get: (id: string) => (id !== '' && isAttestedHere ? { connection: null } : undefined) },
      outbox,
      retrySeconds: 3600,
      clock: time.clock,
    },
    ...{ isOurs: () => isAttestedHere, isAlone: () => true, logger: { warn: () => {}, info: () => {}, error: () => {} } },
    busy: () => 0,
    key: { certificate: '', sign: () => 's' },
    events: { raise: ({ type }: VerifierEvent) => raised.push(type) },
  } as unknown as RevocationNotifierOptions)
})
afterEach(async () => {
  await notifier.stop()
  jest.useRealTimers()
})

const undone = (id: number): PendingDelivery => ({ revocation: revocation(id), target: 'webhook', attempts: 0 })

test('what is done and stored is not held any more', async () => {
  notifier.deliver(revocation(1))
  await time.pass(200)
  expect(stored.flat()).toMatchObject([{ revocationId: 1, state: 'told' }])
  pending = [undone(1)] // which nothing but a store that was put back would say
  await notifier.resume()
  await time.pass(200)
  expect(posted).toHaveLength(2)
})

test('what is under way is not begun once more, nor what was done while the store was looked into', async () => {
  const taken = Promise.withResolvers<void>()
  hook = () => taken.promise
  pending = [undone(1)]
  notifier.deliver(revocation(1))
  await time.pass(10)
  await notifier.resume()
  const looked = Promise.withResolvers<void>()
  look = looked.promise
  const adopting = notifier.resume()
  await time.settle()
  taken.resolve()
  await time.pass(1000)
  looked.resolve()
  await adopting
  await time.pass(1000)
  expect(posted).toHaveLength(1)
  expect(stored.flat()).toHaveLength(1)
})

test('what earlier runs left undone is taken up in pages, each once', async () => {
  pending = Array.from({ length: 1200 }, (_, i) => undone(i + 1))
  const resumed = notifier.resume()
  await time.pass(100)
  await resumed
  await time.pass(1000)
  expect(Math.max(...looks)).toBe(500)
  expect(posted).toHaveLength(1200)
})

test('receivers that hang keep those behind them waiting for less than a second', async () => {
  hook = () => new Promise(() => {})
  for (let id = 1; id <= 1000; id++) notifier.deliver(revocation(id))
  await time.pass(700)
  expect(posted).toHaveLength(1000)
})

test('while nothing can be stored, the last word of each delivery is kept, and no more', async () => {
  isFull = true
  let tries = 0
  hook = async () => {
    if (++tries < 8) throw new Error('503')
  }
  notifier.deliver(revocation(1))
  await time.pass(120_000)
  expect(stored).toEqual([])
  isFull = false
  await time.pass(200)
  expect(stored).toMatchObject([[{ state: 'told', attempts: 8 }]])
  expect(raised).toEqual(['revocation_announced', 'revocation_told'])
})

test('what lies ready for a machine does not stay when another verifier attests it', async () => {
  notifier.deliver({ ...revocation(1), targets: ['agent:a'] })
  await time.pass(100)
  expect(outbox.untilOffer('a')).toBe(0)
  isAttestedHere = false
  await time.pass(60_000)
  expect(outbox.untilOffer('a')).toBe(Number.POSITIVE_INFINITY)
})

test('machines that were not reached yet are spared the first of many that fell silent; a revocation is told all the same', async () => {
  const silent = { ...revocation(1), type: 'comm_error', targets: ['agent:a', 'webhook'] } as const
  notifier.deliver(silent)
  await time.pass(100)
  expect(outbox.untilOffer('a')).toBe(0) // it waits for its machine
  const failure = irrecoverable('internal', 'verifier.not_reachable', { message: 'EHOSTUNREACH' })
  for (let i = 0; i < 6; i++) notifier.prepare({ agentId: `m${i}`, revocationKey: '' } as Enrolment, 'comm_error', failure)
  notifier.deliver({ ...silent, id: 2, text: '{"second":1}' })
  notifier.deliver({ ...silent, id: 4, text: '{"fourth":1}', createdAt: time.clock.now() - 600_000 }) // of another cause
  notifier.deliver({ ...revocation(3), text: '{"third":1}', targets: ['agent:a'] })
  await time.pass(40_000)
  const spared = stored.flat().filter(({ state }) => state === 'given_up')
  expect(spared.map(({ revocationId, target }) => `${revocationId} ${target}`).toSorted()).toEqual(['1 agent:a', '2 agent:a'])
  expect(
    outbox
      .offer('a')
      .map(({ msg }) => msg)
      .toSorted(),
  ).toEqual(['{"fourth":1}', '{"third":1}'])
  expect(posted.length).toBeGreaterThanOrEqual(2) // receivers that are no agents
  expect(raised).not.toContain('revocation_given_up')
})
