import { type Kysely, sql } from 'kysely'
import { type HistoryEvent, isHistory, keptEvent } from '../../core/events/history.ts'
import { cleanEvent, type VerifierEvent } from '../../core/events/verifier-event.ts'
import { builtOnceForRows } from './built-once.ts'
import type { Migration } from './migrate.ts'
import { seamOf } from './seam.ts'

interface Row {
  id: number
  /** Milliseconds since the epoch. */
  at: number
  agent_id: string
  /** JSON of the event. */
  event: string
}

export interface HistoryTables {
  history: Row
}

/** Belongs to no agent's row: what became of a machine is known when it has left. */
export const HISTORY_TABLES: Migration = async (db) => {
  await sql`create table history(id integer primary key autoincrement, at integer not null, agent_id text not null, event text not null)`.execute(
    db,
  )
  await sql`create index history_by_agent on history(agent_id, id)`.execute(db)
  await sql`create index history_by_time on history(at)`.execute(db)
}

/** How much is kept: the first limit that is reached counts. */
export interface HistoryLimits {
  /** Of all machines; 0: nothing is kept. */
  readonly rows: number
  /** Of one machine: one that fails and recovers every second must not push out what is known of the others. */
  readonly rowsPerAgent: number
  readonly days: number
}

export interface HistoryQuestion {
  /** One machine; null for all. */
  readonly agentId: string | null
  /** Milliseconds since the epoch: from, and before. */
  readonly since: number
  readonly until: number
  /** Entries behind this one. */
  readonly after: number
  readonly limit: number
}

export type StoredHistory = { readonly id: number; readonly at: number; readonly agentId: string; readonly event: unknown }

/** What became of the machines: kept in the transaction of the change itself, so that neither is there without the other. */
export interface HistoryStore {
  /** Part of the transaction that stores the change. Events that are no history are left out. */
  add(transaction: Kysely<HistoryTables>, events: readonly VerifierEvent[]): Promise<void>
  /** In the order in which it happened; what is too old is not shown. */
  page(question: HistoryQuestion): Promise<StoredHistory[]>
  /** Erases what is too old. @returns how many entries. */
  sweep(): Promise<number>
}

const DAY_MS = 86_400_000
/** Entries of one machine between two looks at how many there are. */
const LOOK_EVERY = 64
const SWEEP_ROWS = 1000

export const DEFAULT_HISTORY: HistoryLimits = { rows: 200_000, rowsPerAgent: 5000, days: 400 }

/** @param now milliseconds since the epoch. */
export function historyStore(database: Kysely<unknown>, limits: HistoryLimits, now: () => number): HistoryStore {
  const db = database as Kysely<HistoryTables>
  /** Of this process: entries of a machine since the last look. */
  const sinceLook = new Map<string, number>()
  /** Never less than there are; null until it is known. */
  let total: number | null = null
  const oldest = () => now() - limits.days * DAY_MS

  async function add(transaction: Kysely<HistoryTables>, events: readonly VerifierEvent[]): Promise<void> {
    const kept = limits.rows > 0 ? events.filter(isHistory) : []
    if (kept.length > seamOf(transaction).few) return put(transaction, kept)
    for (const event of kept) await put(transaction, [event])
  }

  async function put(transaction: Kysely<HistoryTables>, events: readonly HistoryEvent[]): Promise<void> {
    total = (total ?? (await count(transaction))) + events.length
    const at = now()
    await insertEntries(
      transaction,
      events.map((event) => ({ at, agent_id: event.agent_id, event: JSON.stringify(cleanEvent(keptEvent(event))) })),
    )
    const looked = new Set(events.map(({ agent_id }) => agent_id).filter(isLookDue))
    await keepNewest(transaction, [...looked], limits.rowsPerAgent)
    if (total > limits.rows) await makeRoom(transaction)
  }

  /** Of a machine of which an entry was written. */
  function isLookDue(agentId: string): boolean {
    const written = (sinceLook.get(agentId) ?? LOOK_EVERY) + 1
    sinceLook.set(agentId, written > LOOK_EVERY ? 1 : written)
    return written > LOOK_EVERY
  }

  /** The oldest go, a few more than needed: not each entry has to count them. */
  async function makeRoom(transaction: Kysely<HistoryTables>): Promise<void> {
    total = await count(transaction)
    const over = total - limits.rows
    if (over <= 0) return
    const gone = over + Math.min(SWEEP_ROWS, Math.floor(limits.rows / 100))
    await sql`delete from history where id in (select id from history order by id limit ${gone})`.execute(transaction)
    total = null // counted again: this transaction may yet be undone
  }

  return {
    add,
    async page({ agentId, since, until, after, limit }) {
      let query = db
        .selectFrom('history')
        .selectAll()
        .where('id', '>', after)
        .where('at', '>=', Math.max(since, oldest()))
        .where('at', '<', until)
      if (agentId !== null) query = query.where('agent_id', '=', agentId)
      const rows = await query.orderBy('id').limit(limit).execute()
      return rows.map(({ id, at, agent_id, event }) => ({ id, at, agentId: agent_id, event: JSON.parse(event) }))
    },
    async sweep() {
      sinceLook.clear()
      for (let erased = 0; ; ) {
        const result =
          await sql`delete from history where id in (select id from history where at < ${oldest()} limit ${SWEEP_ROWS})`.execute(db)
        const count = Number(result.numAffectedRows ?? 0n)
        erased += count
        if (count < SWEEP_ROWS) {
          total = null
          return erased
        }
      }
    },
  }
}

const insertEntry = builtOnceForRows<HistoryTables, Omit<Row, 'id'>>((db, entry) =>
  db
    .insertInto('history')
    .values(entry as Row)
    .compile(),
)

async function insertEntries(db: Kysely<HistoryTables>, entries: readonly Omit<Row, 'id'>[]): Promise<void> {
  if (entries.length === 1) await insertEntry(db, entries[0]!)
  else await sql`insert into history(at, agent_id, event) ${seamOf(db).rows(entries, ENTRY)}`.execute(db)
}

/** Of each machine. The order of "cross join" is one that SQLite keeps: each is looked up by its index. */
async function keepNewest(db: Kysely<HistoryTables>, agentIds: readonly string[], kept: number): Promise<void> {
  if (agentIds.length === 0) return
  if (agentIds.length === 1) return void (await keepNewestOf(db, { agent_id: agentIds[0]!, kept }))
  const ids = agentIds.map((agent_id) => ({ agent_id }))
  await sql`with ids(agent_id) as (${seamOf(db).rows(ids, { agent_id: 'text' })})
    delete from history where id in (select h.id from ids cross join history as h where h.agent_id = ids.agent_id
      and h.id <= (select id from history where agent_id = ids.agent_id order by id desc limit 1 offset ${kept}))`.execute(db)
}

const keepNewestOf = builtOnceForRows<HistoryTables, { agent_id: string; kept: number }>((db, { agent_id, kept }) =>
  sql`delete from history where agent_id = ${agent_id} and id <= (select id from history
    where agent_id = ${agent_id} order by id desc limit 1 offset ${kept})`.compile(db),
)

const ENTRY = { at: 'integer', agent_id: 'text', event: 'text' } as const

async function count(db: Kysely<HistoryTables>): Promise<number> {
  const { n } = await db
    .selectFrom('history')
    .select((e) => e.fn.countAll<number>().as('n'))
    .executeTakeFirstOrThrow()
  return Number(n)
}
