import type { Kysely } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import { akFact, tpmFacts } from '../../core/identity/tpm-facts.ts'
import { type ExpectedTpms, expectedTpms } from './expected-tpms.ts'
import { groupedChanges } from './grouped-changes.ts'
import { PENDING_LIMITS, type PendingLimits, type PendingRegistration, PendingRegistrations } from './pending-registrations.ts'
import { decodeRecord, ekKeyOf, encodeRecord, putFacts, type RegistrarTables } from './registrar-schema.ts'
import { dropRevocationMark, findRevocationMark, listRevocationMarks, putRevocationMark, type RevocationMark } from './revocation-marks.ts'
import { changing } from './seam.ts'
import { type WaitingMachines, waitingMachines } from './waiting-machines.ts'

/** Agents whose TPM has proved itself. Every method is durable when it returns. */
export interface Registrations {
  readonly expected: ExpectedTpms
  readonly waiting: WaitingMachines
  find(agentId: string): Promise<AgentRecord | null>
  list(): Promise<string[]>
  /** Other ids under which the TPM of this record is registered: the same EK, or a fact that is known of both. */
  othersOfTpm(record: AgentRecord): Promise<string[]>
  /** Puts a record into its place, and drops all that waits for its id: from now on the id belongs to this TPM. @param facts that stand for it beside its EK. */
  activate(record: AgentRecord, facts?: readonly string[]): Promise<void>
  /** Ends a registration and bars its id and its TPM. @returns whether the TPM is known; without a registration the id alone is barred. */
  revoke(mark: RevocationMark): Promise<boolean>
  /** The mark that keeps a registration out, by its id or its EK. */
  revocationOf(record: AgentRecord): Promise<RevocationMark | null>
  revocations(): Promise<RevocationMark[]>
  /** Lets id and TPM register again. @returns whether they were barred. */
  forgetRevocation(agentId: string): Promise<boolean>
  /** @returns whether there was one. */
  delete(agentId: string): Promise<boolean>
}

/** The same with registrations that have not proved themselves yet. */
export interface RegistrarStore extends Registrations {
  /** The registration that this answer proves. */
  findPending(agentId: string, answer: Buffer): Promise<PendingRegistration | null>
  hasPending(agentId: string, now: number): Promise<boolean>
  /** Drops the one that this answer proves: it was given. */
  dropPending(agentId: string, answer: Buffer): Promise<void>
  /** Beside all others of the id; makes room at the cost of who has most. */
  putPending(pending: PendingRegistration, now: number): Promise<void>
  /**
   * What `work` looks up holds until what it changes is stored: nobody else, of this registrar or another of the same database, changes anything in between. Several that come in one moment
   * are made one after the other and stored by one commit; one that fails takes back what it did, and nothing else.
   */
  alone<T>(work: (registrations: Registrations) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export function registrarStore(database: Kysely<unknown>, limits: PendingLimits = PENDING_LIMITS): RegistrarStore {
  const db = database as Kysely<RegistrarTables>
  const pending = new PendingRegistrations(db, limits)
  const change = pendingChanges(db, pending)
  return {
    ...registrations(db, (agentId) => pending.drop(db, agentId)),
    findPending: (agentId, answer) => pending.find(agentId, answer),
    hasPending: (agentId, now) => pending.has(agentId, now),
    dropPending: (agentId, answer) => change(async (transaction, touch) => pending.drop(touch(transaction), agentId, answer)),
    putPending: (registration, now) => change(async (transaction, touch) => pending.put(touch(transaction), registration, now)),
    alone: (work) =>
      change((transaction, touch) => work(registrations(transaction, (agentId) => pending.drop(touch(transaction), agentId)))),
    close: () => db.destroy(),
  }
}

type PendingChange<T> = (
  transaction: Kysely<RegistrarTables>,
  /** To be said before anything that waits is changed. */
  touch: (transaction: Kysely<RegistrarTables>) => Kysely<RegistrarTables>,
) => Promise<T>

/** Changes one after another, those of one moment in one commit. What waits is counted anew behind one that touched it and was taken back, and behind no other: whoever fails must not make it costly. */
function pendingChanges(db: Kysely<RegistrarTables>, pending: PendingRegistrations): <T>(work: PendingChange<T>) => Promise<T> {
  const grouped = groupedChanges(db, async () => undefined)
  return async (work) => {
    let isTouched = false
    const touch = (transaction: Kysely<RegistrarTables>) => {
      isTouched = true
      return transaction
    }
    const recount = (error: unknown) => {
      if (isTouched) pending.recount()
      throw error
    }
    // Before the next one of the group counts on it, and again for a group that is lost as a whole.
    return grouped((transaction) => work(transaction, touch).catch(recount)).catch(recount)
  }
}

/** @param settled drops all that waits for an id: in the same transaction where `db` is one, and else behind it; after a crash in between, what is left expires. */
function registrations(db: Kysely<RegistrarTables>, settled: (agentId: string) => Promise<void>): Registrations {
  return {
    expected: expectedTpms(db),
    waiting: waitingMachines(db),
    async find(agentId) {
      const row = await db.selectFrom('registered_agents').selectAll().where('agent_id', '=', agentId).executeTakeFirst()
      return row ? decodeRecord(row.record) : null
    },
    async list() {
      const rows = await db.selectFrom('registered_agents').select('agent_id').orderBy('agent_id').execute()
      return rows.map((row) => row.agent_id)
    },
    async othersOfTpm(record) {
      const byFact = db
        .selectFrom('registered_facts')
        .select('agent_id')
        .where('fact', 'in', [...tpmFacts(record), akFact(record)])
      const query = db
        .selectFrom('registered_agents')
        .select('agent_id')
        .where((e) => e.or([e('ek_key', '=', ekKeyOf(record.ek)), e('agent_id', 'in', byFact)]))
        .where('agent_id', '!=', record.agentId)
      return (await query.orderBy('agent_id').limit(MAX_OTHERS).execute()).map((row) => row.agent_id)
    },
    async activate(record, facts = tpmFacts(record)) {
      const row = { agent_id: record.agentId, record: encodeRecord(record), regcount: record.regcount, ek_key: ekKeyOf(record.ek) }
      await changing(db, async (transaction) => {
        const insert = transaction.insertInto('registered_agents').values(row)
        await insert.onConflict((c) => c.column('agent_id').doUpdateSet(row)).execute()
        await putFacts(transaction, record.agentId, facts)
        await waitingMachines(transaction).drop(record.agentId)
      })
      await settled(record.agentId)
    },
    async revoke(mark) {
      const isKnown = await changing(db, async (transaction) => {
        const row = await transaction
          .selectFrom('registered_agents')
          .select('record')
          .where('agent_id', '=', mark.agentId)
          .executeTakeFirst()
        await putRevocationMark(transaction, mark, row ? decodeRecord(row.record) : null)
        await transaction.deleteFrom('registered_agents').where('agent_id', '=', mark.agentId).execute()
        await transaction.deleteFrom('registered_facts').where('agent_id', '=', mark.agentId).execute()
        await waitingMachines(transaction).drop(mark.agentId)
        const marked = await transaction
          .selectFrom('revoked_agents')
          .select('ek_key')
          .where('agent_id', '=', mark.agentId)
          .executeTakeFirst()
        return typeof marked?.ek_key === 'string'
      })
      await settled(mark.agentId)
      return isKnown
    },
    revocationOf: (record) => findRevocationMark(db, record),
    revocations: () => listRevocationMarks(db),
    forgetRevocation: (agentId) => dropRevocationMark(db, agentId),
    async delete(agentId) {
      const existed = await changing(db, async (transaction) => {
        await transaction.deleteFrom('registered_facts').where('agent_id', '=', agentId).execute()
        const waited = await waitingMachines(transaction).drop(agentId)
        const { numDeletedRows } = await transaction.deleteFrom('registered_agents').where('agent_id', '=', agentId).executeTakeFirst()
        return waited || numDeletedRows > 0n
      })
      await settled(agentId)
      return existed
    },
  }
}

/** That are told of. */
const MAX_OTHERS = 100
