import { jest } from '@jest/globals'
import { type Kysely, sql } from 'kysely'
import type { VerifierEvent } from '../src/core/events/verifier-event.ts'
import { openDatabase } from '../src/io/db/open-database.ts'
import { insertRevocation, revocationStore } from '../src/io/db/revocation-store.ts'
import type { RevocationTables, StoredRevocation } from '../src/io/db/revocation-tables.ts'
import { VERIFIER_MIGRATIONS } from '../src/io/db/verifier-schema.ts'
import { NoticeOutbox } from '../src/roles/verifier/revocation/notice-outbox.ts'
import { createRevocationNotifier, type RevocationNotifierOptions } from '../src/roles/verifier/revocation/revocation-notifier.ts'
import { simulatedTime } from './simulated-time.ts'

export interface Asked {
  id: string
  /** Of the notice; undefined for a question what became of one. */
  text: string | undefined
}
export type Answer = (asked: Asked) => Promise<'acted' | 'waiting'>

/** A notice that arrived, in simulated milliseconds. */
interface Told {
  id: string
  text: string
  at: number
}

/**
 * The notifier over a real database; time and machines are simulated. Machines named `push…` fetch their notices.
 * @param machines that are enrolled. `ours`: those that are leased to this verifier, all at first; `agents`: those that it has taken up.
 */
export async function noticeBed(
  machines: readonly string[],
  answer: Answer,
  isEnrolled: (agentId: string) => Promise<boolean> = async (agentId) => machines.includes(agentId),
) {
  const db = await openDatabase<RevocationTables>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const time = simulatedTime()
  for (const id of machines)
    await sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, announced_severity, failures, v_state, supported_version, polled)
      values(${id}, 'default', '{}', 9, 6, '[]', 'none', '2.6', 1)`.execute(db)
  const ours = new Set(machines)
  const counts = { inFlight: 0, most: 0, questions: 0, errors: 0 }
  const told: Told[] = []
  const called: string[] = []
  const raised: string[] = []
  const written: number[] = []
  const asks = async (id: string, text: string | undefined) => {
    called.push(id)
    counts.most = Math.max(counts.most, ++counts.inFlight)
    if (text === undefined) counts.questions++
    const outcome = await answer({ id, text }).finally(() => counts.inFlight--)
    if (text !== undefined) told.push({ id, text, at: time.clock.monotonic() })
    return { status: 200, body: Buffer.from(JSON.stringify({ code: 200, status: 'Success', results: { outcome, reason: null } })) }
  }
  const agentOf = (agentId: string) => ({
    ...{ introduced: true, enrolment: { agentId }, state: { supportedVersion: '2.6' } },
    connection: agentId.startsWith('push') ? null : { request: ({ body }: { body?: { msg: string } }) => asks(agentId, body?.msg) },
  })
  const agents = new Map(machines.map((id) => [id, agentOf(id)]))
  const store = revocationStore(db as Kysely<unknown>)
  const outbox = new NoticeOutbox(time.clock)
  const record = (results: Parameters<typeof store.record>[0]) => {
    written.push(results.length)
    return store.record(results)
  }
  const webhook = async ({ msg: text }: { msg: string }) => void told.push({ id: 'webhook', text, at: time.clock.monotonic() })
  const notifier = createRevocationNotifier({
    ...{ outbox, isEnrolled, clock: time.clock, retrySeconds: 86_400, tellAgents: true, busy: () => 1 },
    ...{ store: { ...store, record }, senders: new Map([['webhook', webhook]]), key: { certificate: '', sign: () => 's' } },
    agents: { get: (id: string) => (ours.has(id) ? agents.get(id) : undefined) },
    isOurs: (id: string) => ours.has(id),
    logger: { warn() {}, info() {}, debug() {}, error: () => counts.errors++ },
    events: { raise: ({ type }: VerifierEvent) => raised.push(type) },
  } as unknown as RevocationNotifierOptions)
  let failed = 0
  /** A machine fails: the notice of that is stored. */
  const stores = (isOrdered = false): Promise<StoredRevocation> => {
    const notice = { agentId: 'failed', type: 'revocation', text: `{"n":${failed++}}`, signature: 's', verifierSignature: '' } as const
    return insertRevocation(db, { ...notice, createdAt: time.clock.now(), targets: ['webhook'], toAgents: true }, { isOrdered })
  }
  /** And told. */
  async function fail(isOrdered = false): Promise<StoredRevocation> {
    const stored = await stores(isOrdered)
    notifier.deliver(stored)
    return stored
  }
  return { ...{ agents, called, counts, db, fail, notifier, ours, outbox, raised, store, stores, time, told, written } }
}

/** Makes beds whose notifiers end with each test. To be called once in a file. */
export function noticeBeds(): typeof noticeBed {
  const ends: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
    jest.useRealTimers()
  })
  return async (...given) => {
    const made = await noticeBed(...given)
    ends.push(() => made.notifier.stop())
    return made
  }
}
