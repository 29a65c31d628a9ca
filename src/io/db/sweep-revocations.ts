import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { SHOWN_REVOCATIONS } from './revocation-store.ts'
import type { RevocationTables } from './revocation-tables.ts'

/** Rows that are erased in one statement: some milliseconds. */
const SLICE = 1000
const PAGE = 100

/** Milliseconds since the epoch. */
export interface SweptRevocations {
  /** Who was to be told of an older one has been told, or given up by who attests it. */
  endedBy: number
  /** Of an older one that everybody was told of, nothing more is heard. A fleet that fails together makes millions of deliveries in an hour. */
  doneBy: number
}

/**
 * Erases what is done with and shown to nobody, in slices: all but the newest revocations, and those that someone is still to be told of.
 * @returns how many revocations were erased.
 */
export async function sweepRevocations(
  database: Kysely<unknown>,
  { endedBy, doneBy }: SweptRevocations,
  signal?: AbortSignal,
): Promise<number> {
  const db = database as Kysely<RevocationTables>
  await giveUpOnTheGone(db, endedBy, signal)
  const oldestShown = await db
    .selectFrom('revocations')
    .select('id')
    .orderBy('id', 'desc')
    .offset(SHOWN_REVOCATIONS - 1)
    .limit(1)
    .executeTakeFirst()
  let erased = 0
  for (let after = 0; oldestShown && !signal?.aborted; ) {
    const page = await db
      .selectFrom('revocations')
      .select(['id', 'created_at'])
      .where('id', '>', after)
      .where('id', '<', oldestShown.id!)
      .orderBy('id')
      .limit(PAGE)
      .execute()
    for (const { id, created_at } of page) if (created_at < doneBy && !signal?.aborted && (await erase(db, id!, signal))) erased++
    if (page.length < PAGE) break
    after = page.at(-1)!.id!
  }
  return erased
}

/** @returns whether nobody is to be told of it any more, and it is gone. */
async function erase(db: Kysely<RevocationTables>, id: number, signal?: AbortSignal): Promise<boolean> {
  const pending = db.selectFrom('deliveries').select('target').where('revocation_id', '=', id).where('state', '=', 'pending').limit(1)
  if (await pending.executeTakeFirst()) return false
  const mine = sql`from deliveries where revocation_id = ${id}`
  while ((await sql`delete ${mine} and target in (select target ${mine} limit ${SLICE})`.execute(db)).numAffectedRows) {
    await turn()
    if (signal?.aborted) return false
  }
  await db.deleteFrom('revocations').where('id', '=', id).execute()
  return true
}

/** Of those that are enrolled, who attests them knows; the others nobody has, where several verifiers share the database. */
async function giveUpOnTheGone(db: Kysely<RevocationTables>, endedBy: number, signal?: AbortSignal): Promise<void> {
  const gone = sql`select revocation_id, target from deliveries where state = 'pending' and target like 'agent:%'
    and not exists (select 1 from agents where agent_id = substr(target, 7))
    and revocation_id in (select id from revocations where created_at < ${endedBy}) limit ${SLICE}`
  const given = sql`update deliveries set state = 'given_up', last_error = 'it is not enrolled any more'
    where state = 'pending' and (revocation_id, target) in (${gone})`
  while (!signal?.aborted && (await given.execute(db)).numAffectedRows) await turn()
}
