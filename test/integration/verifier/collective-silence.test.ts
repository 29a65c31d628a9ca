import type { Kysely } from 'kysely'
import type { AgentEvent } from '../../../src/core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../src/core/attestation/operational-state.ts'
import { type Enrolment, FRESH_PROGRESS, newState } from '../../../src/core/attestation/stored-agent.ts'
import { createSerialQueue } from '../../../src/core/concurrency/serial-queue.ts'
import type { VerifierEvent } from '../../../src/core/events/verifier-event.ts'
import { irrecoverable } from '../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY, judge } from '../../../src/core/verdict/severity.ts'
import { systemClock } from '../../../src/io/clock.ts'
import { revocationStore } from '../../../src/io/db/revocation-store.ts'
import type { RevocationTables } from '../../../src/io/db/revocation-tables.ts'
import { VERIFIER_MIGRATIONS } from '../../../src/io/db/verifier-schema.ts'
import { verifierStore } from '../../../src/io/db/verifier-store.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../src/roles/verifier/agents/managed-agent.ts'
import { createRevocationNotifier, type RevocationNotifierOptions } from '../../../src/roles/verifier/revocation/revocation-notifier.ts'
import { createStateKeeper } from '../../../src/roles/verifier/verdicts/state-keeper.ts'
import { DATABASES, testDatabases } from '../../databases.ts'

const databases = testDatabases()
const timing = { quoteInterval: 2, retryInterval: 2, exponentialBackoff: true, maxRetries: 5 }
const SILENT: AgentEvent = { type: 'unreachable', stage: 'quote', attestedBefore: true, reason: 'EHOSTUNREACH' }
const FAILED: AgentEvent = {
  type: 'quote_failed',
  judgement: judge([irrecoverable('pcr_validation', 'invalid_pcr_7', { message: 'm' })], DEFAULT_SEVERITY),
}

/** Machines that were attested, all of them stored, and that are about to be given up. */
async function fleet(kind: (typeof DATABASES)[number], count: number) {
  const db = await databases.open<RevocationTables>(kind, 'verifier', VERIFIER_MIGRATIONS)
  const store = verifierStore(db as Kysely<unknown>, 1 << 20)
  const raised: VerifierEvent[] = []
  const events = { raise: (...all: VerifierEvent[]) => void raised.push(...all) }
  const notifier = createRevocationNotifier({
    ...{ store: revocationStore(db as Kysely<unknown>), events, clock: systemClock, logger: silentLogger, retrySeconds: 86_400 },
    agents: { get: () => undefined },
    outbox: { drop: () => undefined },
    key: { sign: () => 'signed', certificate: '' },
    tellAgents: true,
    senders: new Map([['webhook', async () => undefined]]),
    isEnrolled: async () => true,
    isOurs: () => true,
  } as unknown as RevocationNotifierOptions)
  const keeper = createStateKeeper({ store, notifier, timing, events: events as never, logger: silentLogger })
  const agents: ManagedAgent[] = []
  for (let i = 0; i < count; i++) {
    const enrolment = { agentId: `m-${i}`, ip: '10.0.0.1', port: 9002, tpmPolicy: '{}', metaData: '{}' } as Enrolment
    const enrolled: Enrolment = { ...enrolment, verifierId: 'default', revocationKey: '', runtimePolicy: null, mbPolicy: null }
    const state = { ...newState(null, '2.6'), operational: OPERATIONAL_STATE.GET_QUOTE_RETRY }
    await store.insert({ enrolment: enrolled, state, progress: FRESH_PROGRESS, policies: [] })
    agents.push({
      ...{ enrolment: enrolled, state, progress: { ...FRESH_PROGRESS, attestationCount: 3 }, delivery: null },
      ...{ retries: timing.maxRetries, epoch: 0, unstored: null, removed: false, changes: createSerialQueue() },
    } as unknown as ManagedAgent)
  }
  const rows = async (table: 'revocations' | 'deliveries', type?: string) => {
    const all = db.selectFrom('revocations').innerJoin('deliveries', 'deliveries.revocation_id', 'revocations.id')
    const found = await (type ? all.where('type', '=', type) : all).select(['revocations.id', 'target']).execute()
    return table === 'deliveries' ? found.length : new Set(found.map(({ id }) => id)).size
  }
  const texts = async () => (await db.selectFrom('revocations').select('text').orderBy('id').execute()).map(({ text }) => JSON.parse(text))
  return { agents, keeper, notifier, raised, rows, texts }
}

test.each([
  ['SQLite', 1000],
  ['PostgreSQL', 150],
] as const)(
  '%s: %d machines that fall silent at once are told of together, and a failed attestation among them to all',
  async (kind, count) => {
    const { agents, keeper, notifier, raised, rows, texts } = await fleet(kind, count)
    for (const agent of agents.slice(0, count - 1)) await keeper.apply(agent, SILENT)
    await keeper.apply(agents.at(-1)!, FAILED)
    await notifier.stop()
    expect(await rows('deliveries', 'comm_error')).toBeLessThanOrEqual(10 * count)
    expect(await rows('revocations', 'comm_error')).toBeLessThanOrEqual(8) // one more where it takes longer than they are collected
    expect(await rows('deliveries', 'revocation')).toBe(count + 1)
    expect(raised.filter(({ type }) => type === 'agent_unreachable')).toHaveLength(count - 1)
    const together = raised.filter((event) => event.type === 'agents_unreachable')
    expect(together.reduce((sum, { machines }) => sum + machines, 0)).toBe(count - 6)
    expect(together[0]!.agent_ids).toEqual(expect.arrayContaining(['m-5', 'm-6']))
    expect(agents[count - 2]!.state).toMatchObject({ operational: OPERATIONAL_STATE.FAILED, polled: true })
    const notice = (await texts()).find(({ agent_id }) => agent_id === 'm-5')
    expect(notice).toMatchObject({ type: 'comm_error', event_id: 'internal.verifier.not_reachable' })
    expect(JSON.parse(notice.context)).toMatchObject({ machines: together[0]!.machines })
  },
  60_000,
)
