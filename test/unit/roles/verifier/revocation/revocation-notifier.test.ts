import { jest } from '@jest/globals'
import type { Enrolment } from '../../../../../src/core/attestation/stored-agent.ts'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { irrecoverable } from '../../../../../src/core/verdict/failure.ts'
import type { Expanded } from '../../../../../src/io/db/deferred-notices.ts'
import type { DeliveryResult, PendingDelivery, PendingQuestion } from '../../../../../src/io/db/revocation-store.ts'
import type { NewRevocation, StoredRevocation } from '../../../../../src/io/db/revocation-tables.ts'
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
/** Of machines that are called. */
let called: { agentId: string; isReached: boolean; notices: string[] }
/** What waits for room. */
let waiting: Expanded[]

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
  called = { agentId: 'called', isReached: true, notices: [] }
  waiting = []
  notifier = createRevocationNotifier({
    store: {
      async pending({ targets, after, limit }: PendingQuestion) {
        const all = pending.filter(({ target }) => !targets || targets.includes(target))
        const behind = all.filter((delivery) => !after || delivery.revocation.id > after.revocation.id).slice(0, limit)
        looks.push(behind.length)
        await look
        return behind
      },
      expandOldest: async () => waiting.shift() ?? null,
      postpone: async () => undefined,
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
      agents: {
        get(id: string) {
          if (id === called.agentId) return calledAgent()
          return id !== '' && isAttestedHere ? { connection: null } : undefined
        },
      },
      outbox,
      retrySeconds: 3600,
      clock: time.clock,
    },
    ...{ isOurs: () => isAttestedHere, isEnrolled: async () => true, logger: { warn: () => {}, info: () => {}, error: () => {} } },
    busy: () => 0,
    key: { certificate: '', sign: () => 's' },
    events: { raise: ({ type }: VerifierEvent) => raised.push(type) },
  } as unknown as RevocationNotifierOptions)
})
afterEach(async () => {
  await notifier.stop()
  jest.useRealTimers()
})

/** Answers as upstream's agents do, when it can be reached. */
const calledAgent = () => ({
  introduced: true,
  state: { supportedVersion: '2.6' },
  connection: {
    async request({ body }: { body: { msg: string } }) {
      if (!called.isReached) throw new Error('EHOSTUNREACH')
      called.notices.push(body.msg)
      return { status: 200, body: Buffer.from(JSON.stringify({ code: 200, status: 'Success', results: {} })) }
    },
  },
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

test('a machine that is off for long is tried with one notice, and told of all when it is back', async () => {
  called.isReached = false
  deliverMany(50)
  await time.pass(60_000)
  const before = stored.flat().length
  await time.pass(300_000)
  expect(stored.flat().length - before).toBeLessThanOrEqual(11) // one each 30 s
  called.isReached = true
  await time.pass(35_000)
  expect(called.notices.toSorted()).toEqual(pendingTexts(50))
  await time.pass(60_000)
  expect(called.notices).toHaveLength(50)
})

test('of what earlier runs left undone for a machine that is off, one notice at a time is tried, and all are told when it is back', async () => {
  called.isReached = false
  pending = Array.from({ length: 1200 }, (_, i) => {
    const undone = { ...revocation(i + 1), text: `{"id":${i + 1}}`, targets: [] }
    return { revocation: undone, target: 'agent:called', attempts: 9 }
  })
  const resumed = notifier.resume()
  await time.pass(100)
  await resumed
  await time.pass(61_000)
  expect(stored.flat().length).toBeLessThanOrEqual(8) // of 1,200
  called.isReached = true
  await time.pass(120_000)
  expect(called.notices.toSorted()).toEqual(pendingTexts(1200))
})

test('machines that cannot be looked up again at once are told all the same', async () => {
  called.isReached = false
  deliverMany(20)
  await time.pass(60_000)
  look = Promise.reject(new Error('the database is away'))
  look.catch(() => undefined)
  called.isReached = true
  await time.pass(35_000)
  expect(called.notices).toHaveLength(9) // what was held
  look = Promise.resolve()
  await time.pass(3000)
  expect(called.notices.toSorted()).toEqual(pendingTexts(20))
})

test('a revocation that waits for room is told to nobody, and to its machines when it has some; what became of it otherwise is said', async () => {
  notifier.deliver({ ...revocation(1), targets: ['agents', 'webhook'] })
  await time.pass(5000)
  expect(stored.flat().map(({ target }) => target)).toEqual(['webhook'])
  waiting = [
    { revocation: { ...revocation(2), targets: [] }, became: 'taken_back' },
    { revocation: { ...revocation(3), targets: [] }, became: 'too_old' },
    { revocation: { ...revocation(1), targets: ['agent:called'] }, became: 'told' },
  ]
  await time.pass(2000)
  expect(called.notices).toEqual(['{}'])
  expect(raised).toEqual(['revocation_announced', 'revocation_told', 'revocation_given_up', 'revocation_told'])
})

/** To the machine that is called. */
function deliverMany(count: number): void {
  for (let id = 1; id <= count; id++) {
    const stored = { ...revocation(id), text: `{"id":${id}}`, targets: ['agent:called'] }
    pending.push({ revocation: stored, target: 'agent:called', attempts: 0 })
    notifier.deliver(stored)
  }
}

const pendingTexts = (count: number): string[] => Array.from({ length: count }, (_, i) => `{"id":${i + 1}}`).toSorted()
