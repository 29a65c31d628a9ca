import { type Kysely, type RawBuilder, sql } from 'kysely'
import { OPERATIONAL_STATE } from '../../core/attestation/operational-state.ts'
import { serialOf } from '../../core/revocation/message.ts'
import type { Migration } from './migrate.ts'
import { type RevocationTables, revocationOf, type StoredRevocation } from './revocation-tables.ts'
import { changing } from './seam.ts'

/** The receiver of a revocation whose machines are told when there is room: it stands for all that are enrolled by then. */
export const ALL_AGENTS = 'agents'

/** Notices to machines that were not tried yet: with more, further revocations wait. */
const MAX_UNTRIED = 50_000
/** Notices that are not done: with more, further revocations wait, however long machines cannot be reached. */
const MAX_PENDING = 1_000_000
/** Those of each so many revocations are counted for all: to count a million takes too long for a question of each second and of each failure. */
const SAMPLED = 20

const WAITS = 'many notices are waiting: the machines are told of it when there is room'
const REASONS = {
  too_old: 'its time was over before there was room for notices to the machines',
  taken_back: 'the operator took the machine back before the others were told',
} as const
/** Of one that had fallen silent. */
const ANSWERS = 'the machine no longer counted as unreachable when the others could be told'

/** What became of the revocation that had waited longest: `told` machines are its receivers now. */
export interface Expanded {
  revocation: StoredRevocation
  became: 'told' | keyof typeof REASONS
}

/** How many wait is asked with each failure of a machine, and must not cost more the more there are. */
export const DEFERRED_NOTICES: Migration = async (db) => {
  await sql`create index deliveries_untried on deliveries(state, attempts)
    where state = 'pending' and attempts = 0 and target <> 'agents'`.execute(db)
  await sql`create index deliveries_sampled on deliveries(state) where state = 'pending' and revocation_id % 20 = 0`.execute(db)
  await sql`create index deliveries_by_target on deliveries(target, revocation_id) where state = 'pending'`.execute(db)
}

type Db = Kysely<RevocationTables>

/** Whether so many times as many notices are stored as there is room for. In the words of the indices. */
const full = (times: number) => sql`select 1 where
  exists(select 1 from deliveries where state = 'pending' and attempts = 0 and target <> 'agents' limit 1 offset ${sql.lit(times * MAX_UNTRIED)})
  or exists(select 1 from deliveries where state = 'pending' and revocation_id % ${sql.lit(SAMPLED)} = 0 limit 1 offset ${sql.lit((times * MAX_PENDING) / SAMPLED)})`
export const FULL = full(1)
/** Also for what operators order. */
const OVERFULL = full(2)
export const OLDEST = sql<{ id: number }>`select revocation_id as id from deliveries where state = 'pending' and target = 'agents'
  order by revocation_id limit 1`

interface PutAgents {
  /** Of the revocation. */
  id: number
  createdAt: number
  /** By an operator, whose machine does not wait behind those that failed. */
  isOrdered: boolean
}

/**
 * Part of the transaction that stores a revocation: makes a receiver of each machine that is enrolled, or, where many notices wait already, one receiver of all. What fails a whole fleet, such
 * as a slip in a policy that all share, would otherwise store a notice of each machine to each in one moment.
 */
export async function putAgents(transaction: Db, { id, createdAt, isOrdered }: PutAgents): Promise<void> {
  const isLater = isOrdered
    ? await isThere(transaction, OVERFULL)
    : (await isThere(transaction, OLDEST)) || (await isThere(transaction, FULL))
  if (!isLater) return addAgents(transaction, id, createdAt)
  const row = { revocation_id: id, target: ALL_AGENTS, state: 'pending' as const, attempts: 0, at: createdAt, last_error: WAITS }
  await transaction.insertInto('deliveries').values(row).execute()
}

/**
 * Looks at the revocation that has waited longest for room: its machines become receivers, unless the operator has taken its own machine back, or its time is over.
 * @param endedBy milliseconds since the epoch: what was decided before is told no more. @returns null when none waits, or there is no room yet.
 */
export async function expandOldest(database: Kysely<unknown>, endedBy: number): Promise<Expanded | null> {
  const db = database as Db
  if (!(await isThere(db, OLDEST))) return null
  return changing(db, async (transaction) => {
    const id = (await OLDEST.execute(transaction)).rows[0]?.id
    if (id === undefined) return null // another verifier was first
    const row = await transaction.selectFrom('revocations').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
    const mine = sql`where revocation_id = ${id} and target = 'agents'`
    const isTooOld = row.created_at < endedBy
    if (isTooOld || (await isTakenBack(transaction, row))) {
      const became = isTooOld ? 'too_old' : 'taken_back'
      const reason = became === 'taken_back' && row.type === 'comm_error' ? ANSWERS : REASONS[became]
      await sql`update deliveries set state = 'given_up', last_error = ${reason} ${mine}`.execute(transaction)
      return { revocation: revocationOf(row, []), became }
    }
    if (await isThere(transaction, FULL)) return null
    await addAgents(transaction, id, row.created_at)
    await sql`delete from deliveries ${mine}`.execute(transaction) // other verifiers hear of it (`news-store.ts`)
    const told = await transaction.selectFrom('deliveries').select('target').where('revocation_id', '=', id).execute()
    const machines = told.map(({ target }) => target).filter((target) => target.startsWith('agent:'))
    return { revocation: revocationOf(row, machines), became: 'told' }
  })
}

async function addAgents(transaction: Db, id: number, at: number): Promise<void> {
  await sql`insert into deliveries select ${id}, 'agent:' || agent_id, 'pending', 0, ${at}, null from agents`.execute(transaction)
}

/** An agent that was deleted is not; nor one that came back with another certificate, as the one that the notice names stays revoked. What an operator ordered was no slip of a policy. */
async function isTakenBack(transaction: Db, { agent_id, text, ordered }: RevocationTables['revocations']): Promise<boolean> {
  if (ordered === 1) return false
  const { rows } = await sql<{ enrolment: string }>`select enrolment from agents
    where agent_id = ${agent_id} and announced_severity is null and operational_state <> ${OPERATIONAL_STATE.FAILED}`.execute(transaction)
  return rows.some(({ enrolment }) => serialIn(enrolment, 'metaData') === serialIn(text, 'meta_data'))
}

/** Of the certificate; null for none. What cannot be read has no serial that another has, and holds up nothing. */
function serialIn(json: string, member: string): bigint | null | undefined {
  try {
    return serialOf(String((JSON.parse(json) as Record<string, unknown>)[member]))
  } catch {
    return undefined
  }
}

const isThere = async (db: Db, query: RawBuilder<unknown>): Promise<boolean> => (await query.execute(db)).rows.length > 0
