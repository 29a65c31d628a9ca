import { jest } from '@jest/globals'
import { type Kysely, sql } from 'kysely'
import type { VerifierEvent } from '../../../../../src/core/events/verifier-event.ts'
import { openDatabase } from '../../../../../src/io/db/open-database.ts'
import { insertRevocation, revocationStore } from '../../../../../src/io/db/revocation-store.ts'
import type { RevocationTables } from '../../../../../src/io/db/revocation-tables.ts'
import { VERIFIER_MIGRATIONS } from '../../../../../src/io/db/verifier-schema.ts'
import { NoticeOutbox } from '../../../../../src/roles/verifier/revocation/notice-outbox.ts'
import {
  createRevocationNotifier,
  type RevocationNotifierOptions,
} from '../../../../../src/roles/verifier/revocation/revocation-notifier.ts'
import { simulatedTime } from '../../../../simulated-time.ts'

afterEach(() => void jest.useRealTimers())

/** The notifier over a real database, with machines that are off; `ours` are leased to this verifier. */
async function bed(isEnrolled: (agentId: string) => Promise<boolean>) {
  const db = await openDatabase<RevocationTables>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const time = simulatedTime()
  const ids = ['gone', 'moved']
  for (const id of ids)
    await sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, announced_severity, failures, v_state, supported_version, polled)
      values(${id}, 'default', '{}', 9, 6, '[]', 'none', '2.6', 1)`.execute(db)
  const ours = new Set(ids)
  const called: string[] = []
  const raised: string[] = []
  const machine = (agentId: string) => ({
    ...{ introduced: true, enrolment: { agentId }, state: { supportedVersion: '2.6' } },
    connection: {
      async request() {
        called.push(agentId)
        throw new Error('EHOSTUNREACH')
      },
    },
  })
  const store = revocationStore(db as Kysely<unknown>)
  const notifier = createRevocationNotifier({
    ...{ store, isEnrolled, clock: time.clock, outbox: new NoticeOutbox(time.clock), senders: new Map() },
    ...{ tellAgents: true, retrySeconds: 86_400, busy: () => 1, key: { certificate: '', sign: () => 's' } },
    agents: { get: (id: string) => (ours.has(id) ? machine(id) : undefined) },
    isOurs: (id: string) => ours.has(id),
    logger: { warn() {}, info() {}, error() {} },
    events: { raise: ({ type }: VerifierEvent) => raised.push(type) },
  } as unknown as RevocationNotifierOptions)
  const { id } = await insertRevocation(db, {
    ...{ agentId: 'liar', type: 'revocation', text: '{}', signature: 's', verifierSignature: '' },
    ...{ createdAt: time.clock.now(), targets: [], toAgents: true },
  })
  const states = async () => (await store.deliveries(id, '', 9)).map(({ target, state }) => `${target} ${state}`)
  return { notifier, time, ours, called, raised, states }
}

test('what a machine that is leased to nobody was to be told is given up if it was deleted, and left to another verifier otherwise', async () => {
  const { notifier, time, ours, called, raised, states } = await bed(async (id) => id !== 'gone')
  await notifier.resume()
  await time.pass(400)
  expect(called.toSorted()).toEqual(['gone', 'moved'])
  ours.clear()
  await time.pass(2000)
  expect(await states()).toEqual(['agent:gone given_up', 'agent:moved pending'])
  expect(raised).not.toContain('revocation_given_up') // nobody has to look after a machine that was deleted
  ours.add('moved') // which comes back: it was let go
  await notifier.adopt({ agent: 'moved' })
  await time.pass(400)
  expect(called.filter((id) => id === 'moved')).toHaveLength(2)
  await notifier.stop()
})

test('where it cannot be known whether it was deleted, nothing is given up', async () => {
  const { notifier, time, ours, states } = await bed(() => Promise.reject(new Error('the database is away')))
  await notifier.resume()
  await time.pass(400)
  ours.clear()
  await time.pass(2000)
  expect(await states()).toEqual(['agent:gone pending', 'agent:moved pending'])
  await notifier.stop()
})

test('one that is leased again while that is looked up is still told', async () => {
  const asked = Promise.withResolvers<boolean>()
  const { notifier, time, ours, called } = await bed(() => asked.promise)
  await notifier.resume()
  await time.pass(400)
  ours.clear()
  await time.pass(2000)
  for (const id of ['gone', 'moved']) ours.add(id)
  await notifier.adopt({ agent: 'moved' }) // while it is still held here
  asked.resolve(true)
  await time.pass(2000)
  expect(called.filter((id) => id === 'moved').length).toBeGreaterThan(1)
  await notifier.stop()
})
