import { type Kysely, sql } from 'kysely'
import { type Expanded, expandOldest, putAgents } from './deferred-notices.ts'
import { type DeliveryWord, type NewRevocation, type RevocationTables, revocationOf, type StoredRevocation } from './revocation-tables.ts'
import { changing, seamOf } from './seam.ts'

export interface RevocationSummary {
  id: number
  agentId: string
  type: string
  createdAt: number
}

export type DeliveryState = Omit<DeliveryResult, 'revocationId' | 'createdAt'>

export interface DeliveryResult {
  revocationId: number
  /** Of the revocation: a server that took over for another gives its last ids again. */
  createdAt: number
  target: string
  state: DeliveryWord
  attempts: number
  at: number
  lastError: string | null
}

/** Which deliveries: of one revocation, or to these targets; all that are missing. */
export interface PendingQuestion {
  revocation?: number
  targets?: readonly string[]
  /** Only what an operator ordered. */
  ordered?: true | undefined
  /** Those behind this one. */
  after?: { revocation: { id: number }; target: string } | undefined
  limit: number
}

export interface PendingDelivery {
  revocation: StoredRevocation
  target: string
  attempts: number
}

/** What was decided and who knows it. Every method is durable when it returns. */
export interface RevocationStore {
  /** A page of the deliveries that are not done, oldest revocation first, to each of the targets if there are some. @param known one for all of its receivers, also of other pages: what is not in it is put there. */
  pending(question: PendingQuestion, known: Map<number, StoredRevocation>): Promise<PendingDelivery[]>
  /** Stores what is told of no verdict of its own. */
  add(revocation: NewRevocation): Promise<StoredRevocation>
  /** Who was told stays so: a verifier that was paused may come later with a word of before. What was erased meanwhile is passed over. */
  record(results: readonly DeliveryResult[]): Promise<void>
  /** `expandOldest`: machines of a revocation that waits for room. */
  expandOldest(endedBy: number): Promise<Expanded | null>
  /** These machines did not take a notice: their others count as tried, so that nobody waits for them. */
  postpone(targets: readonly string[], lastError: string): Promise<void>
  newest(limit: number): Promise<RevocationSummary[]>
  /** Of one revocation, behind a target, in the order of their names. */
  deliveries(revocationId: number, after: string, limit: number): Promise<DeliveryState[]>
}

/** Revocations that are shown; what is not shown is kept only until it is done. */
export const SHOWN_REVOCATIONS = 100

const ROWS_A_STATEMENT = 400
/** The word that says more stays, whichever verifier comes later: what a machine did, that it did not believe the notice, that it was told. */
const SAYS_MORE = sql<boolean>`(deliveries.state = 'pending' or (deliveries.state = 'given_up' and excluded.state <> 'pending')
  or (deliveries.state in ('told', 'refused') and excluded.state in ('acted', 'failed'))
  or (deliveries.state = 'told' and excluded.state = 'refused'))`

/** Part of the transaction that stores the verdict. @param options `isOrdered`: by an operator. */
export async function insertRevocation(
  transaction: Kysely<RevocationTables>,
  revocation: NewRevocation,
  { isOrdered = false }: { isOrdered?: boolean } = {},
): Promise<StoredRevocation> {
  const { agentId, type, text, signature, verifierSignature, createdAt, targets: others, toAgents } = revocation
  const content = { agent_id: agentId, type, text, signature, verifier_signature: verifierSignature }
  const row = { ...content, created_at: createdAt, ordered: Number(isOrdered) }
  const inserted = await transaction
    .insertInto('revocations')
    .values(row as never)
    .returning('id')
    .executeTakeFirstOrThrow()
  const id = inserted.id!
  for (const target of others) {
    const delivery = { revocation_id: id, target, state: 'pending' as const, attempts: 0, at: createdAt, last_error: null }
    await transaction.insertInto('deliveries').values(delivery).execute()
  }
  // In the transaction itself: no agent that is enrolled by now is left out, whether it can be attested or not.
  if (toAgents) await putAgents(transaction, { id, createdAt, isOrdered })
  const rows = await transaction.selectFrom('deliveries').select('target').where('revocation_id', '=', id).execute()
  return { id, agentId, type, text, signature, verifierSignature, createdAt, isOrdered, targets: rows.map(({ target }) => target) }
}

export function revocationStore(database: Kysely<unknown>): RevocationStore {
  const db = database as Kysely<RevocationTables>

  async function learn(ids: readonly number[], known: Map<number, StoredRevocation>): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !known.has(id))
    if (missing.length === 0) return
    for (const row of await db.selectFrom('revocations').selectAll().where('id', 'in', missing).execute())
      known.set(row.id!, revocationOf(row, []))
  }

  return {
    async pending(question, known) {
      const rows = await pendingPage(db, question).execute()
      await learn(
        rows.map((row) => row.revocation_id),
        known,
      )
      // one that was erased in between has nothing to tell any more
      return rows.flatMap(({ revocation_id, target, attempts }) => {
        const revocation = known.get(revocation_id)
        return revocation ? [{ revocation, target, attempts }] : []
      })
    },
    add: (revocation) => changing(db, (transaction) => insertRevocation(transaction, revocation)),
    record: (results) =>
      changing(db, async (transaction) => {
        for (let at = 0; at < results.length; at += ROWS_A_STATEMENT) {
          const rows = (await stored(transaction, results.slice(at, at + ROWS_A_STATEMENT))).map((r) => ({
            revocation_id: r.revocationId,
            target: r.target,
            state: r.state,
            attempts: r.attempts,
            at: r.at,
            last_error: r.lastError,
          }))
          if (rows.length === 0) continue
          await transaction
            .insertInto('deliveries')
            .values(rows)
            .onConflict((c) =>
              c
                .columns(['revocation_id', 'target'])
                .doUpdateSet((e) => ({
                  state: e.ref('excluded.state'),
                  attempts: e.ref('excluded.attempts'),
                  at: e.ref('excluded.at'),
                  last_error: e.ref('excluded.last_error'),
                }))
                .where(SAYS_MORE),
            )
            .execute()
        }
      }),
    postpone: (targets, lastError) =>
      changing(db, async (transaction) => {
        await transaction
          .updateTable('deliveries')
          .set({ attempts: 1, last_error: lastError })
          .where('state', '=', 'pending')
          .where('attempts', '=', 0)
          .where('target', 'in', targets)
          .execute()
      }),
    expandOldest: (endedBy) => expandOldest(database, endedBy),
    async newest(limit) {
      const rows = await db.selectFrom('revocations').selectAll().orderBy('id', 'desc').limit(limit).execute()
      return rows.map((r) => ({ id: r.id!, agentId: r.agent_id, type: r.type, createdAt: r.created_at }))
    },
    async deliveries(revocationId, after, limit) {
      const rows = await db
        .selectFrom('deliveries')
        .selectAll()
        .where('revocation_id', '=', revocationId)
        .where('target', '>', after)
        .orderBy('target')
        .limit(limit)
        .execute()
      return rows.map(({ target, state, attempts, at, last_error }) => ({ target, state, attempts, at, lastError: last_error }))
    },
  }
}

/** In the order of an index: SQLite takes another one otherwise, and reads all that is pending for one machine. */
export function pendingPage(db: Kysely<RevocationTables>, { revocation, targets, ordered, after, limit }: PendingQuestion) {
  const order = targets === undefined ? (['revocation_id', 'target'] as const) : (['target', 'revocation_id'] as const)
  let query = db.selectFrom('deliveries').select(['revocation_id', 'target', 'attempts']).where('state', '=', 'pending')
  if (revocation !== undefined) query = query.where('revocation_id', '=', revocation)
  if (targets !== undefined) query = query.where('target', 'in', targets)
  if (ordered) query = query.where(sql<boolean>`revocation_id in (select id from revocations where ordered = 1)`)
  if (after) {
    const place = { revocation_id: after.revocation.id, target: after.target }
    query = query.where(sql<boolean>`(${sql.ref(order[0])}, ${sql.ref(order[1])}) > (${place[order[0]]}, ${place[order[1]]})`)
  }
  return query.orderBy(order[0]).orderBy(order[1]).limit(limit)
}

/** Of deliveries that are still there: one that was erased as done must not come back as pending, nor count for another that got its number. */
async function stored(db: Kysely<RevocationTables>, results: readonly DeliveryResult[]): Promise<DeliveryResult[]> {
  const said = results.map(({ revocationId, createdAt, target }, place) => ({
    place,
    revocation_id: revocationId,
    created_at: createdAt,
    target,
  }))
  const columns = { place: 'integer', revocation_id: 'integer', created_at: 'integer', target: 'text' } as const
  // The order of "cross join" is one that SQLite keeps: each is looked up by its key.
  const { rows } = await sql<{ place: number }>`with said(place, revocation_id, created_at, target) as (${seamOf(db).rows(said, columns)})
    select said.place from said cross join deliveries as d cross join revocations as r where d.revocation_id = said.revocation_id
      and d.target = said.target and r.id = said.revocation_id and r.created_at = said.created_at`.execute(db)
  return rows.map(({ place }) => results[place]!)
}
