import type { Kysely } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import { tpmFacts } from '../../core/identity/tpm-facts.ts'
import type { TpmOfRecord } from '../../core/identity/tpm-of-record.ts'
import { builtOnce } from './built-once.ts'
import { type ExpectedTpms, expectedTpms } from './expected-tpms.ts'
import { groupedChanges } from './grouped-changes.ts'
import { inOrder, type KnownOfTpm, lookUpTpm, MAX_OTHERS } from './look-up-tpm.ts'
import { PENDING_LIMITS, type PendingLimits, type PendingRegistration, PendingRegistrations } from './pending-registrations.ts'
import {
  decodeRecord,
  ekKeyOf,
  ekKeyOfTpm,
  encodeRecord,
  type FourFacts,
  fourFacts,
  putFacts,
  type RegistrarTables,
} from './registrar-schema.ts'
import { dropRevocationMark, listRevocationMarks, putRevocationMark, type RevocationMark } from './revocation-marks.ts'
import { changing } from './seam.ts'
import { type WaitingMachines, waitingMachines } from './waiting-machines.ts'

/** Agents whose TPM has proved itself. Every method is durable when it returns. */
export interface Registrations {
  readonly expected: ExpectedTpms
  readonly waiting: WaitingMachines
  find(agentId: string): Promise<AgentRecord | null>
  list(): Promise<string[]>
  /** All that counts when this TPM asks for its id. @throws KeylimeError `malformed` for an EK certificate that cannot be read. */
  lookUp(tpm: TpmOfRecord): Promise<KnownOfTpm>
  /** Other ids under which this TPM is registered: the same EK, or a fact that is known of both. */
  othersOfTpm(tpm: TpmOfRecord): Promise<string[]>
  /** Puts a record into its place, and drops all that waits for its id: from now on the id belongs to this TPM. @param proven what stands for it. */
  activate(record: AgentRecord, proven?: ProvenTpm): Promise<void>
  /** Ends a registration and bars its id and its TPM. @returns whether the TPM is known; without a registration the id alone is barred. */
  revoke(mark: RevocationMark): Promise<boolean>
  revocations(): Promise<RevocationMark[]>
  /** Lets id and TPM register again. @returns whether they were barred. */
  forgetRevocation(agentId: string): Promise<boolean>
  /** @returns whether there was one. */
  delete(agentId: string): Promise<boolean>
}

/** By what a TPM is found. */
export interface ProvenTpm {
  /** `ekKeyOf` */
  readonly ekKey: string
  readonly facts: readonly string[]
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
    const run = (transaction: Kysely<RegistrarTables>) => {
      if (isTouched) pending.recount() // a server has undone it all, and it is made again
      return work(transaction, touch).catch(recount) // before the next one of the group counts on it
    }
    return grouped(run).catch(recount) // and where the group is lost as a whole
  }
}

/** @param settled drops all that waits for an id: in the same transaction where `db` is one, and else behind it; after a crash in between, what is left expires. */
function registrations(db: Kysely<RegistrarTables>, settled: (agentId: string) => Promise<void>): Registrations {
  return {
    expected: expectedTpms(db),
    waiting: waitingMachines(db),
    async find(agentId) {
      const [row] = (await recordOfId(db, agentId)).rows
      return row ? decodeRecord(row.record) : null
    },
    async list() {
      const rows = await db.selectFrom('registered_agents').select('agent_id').orderBy('agent_id').execute()
      return rows.map((row) => row.agent_id)
    },
    lookUp: (tpm) => lookUpTpm(db, tpm),
    async othersOfTpm(tpm) {
      const { rows } = await idsOfTpm(db, tpm.agentId, ekKeyOfTpm(tpm), ...fourFacts(tpm))
      return inOrder(rows)
    },
    async activate(record, { ekKey, facts } = { ekKey: ekKeyOf(record.ek), facts: tpmFacts(record) }) {
      await changing(db, async (transaction) => {
        await putRecord(transaction, record.agentId, encodeRecord(record), record.regcount, ekKey)
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

const recordOfId = builtOnce((db: Kysely<RegistrarTables>, agentId: string) =>
  db.selectFrom('registered_agents').select('record').where('agent_id', '=', agentId),
)

const idsOfTpm = builtOnce((db: Kysely<RegistrarTables>, agentId: string, ekKey: string, ...facts: FourFacts) => {
  const others = db.selectFrom('registered_agents as a').select('a.agent_id').where('a.agent_id', '!=', agentId)
  const byFact = others.innerJoin('registered_facts as f', 'f.agent_id', 'a.agent_id').where('f.fact', 'in', facts)
  // Look-ups by one index each: one look-up with "or" and a list of lists takes longer.
  return others.where('a.ek_key', '=', ekKey).unionAll(byFact).limit(MAX_OTHERS)
})

const putRecord = builtOnce((db: Kysely<RegistrarTables>, agent_id: string, record: string, regcount: number, ek_key: string) => {
  const row = { agent_id, record, regcount, ek_key }
  return db
    .insertInto('registered_agents')
    .values(row)
    .onConflict((c) => c.column('agent_id').doUpdateSet(row))
})
