import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { ALL_AGENTS } from './deferred-notices.ts'
import { SHOWN_REVOCATIONS } from './revocation-store.ts'
import type { RevocationTables } from './revocation-tables.ts'

/** Rows that are erased in one statement: some milliseconds. */
const SLICE = 1000
const PAGE = 100

/** Milliseconds since the epoch. */
export interface SweptRevocations {
  /** Who was to be told of an older one has been told, or given up by who attests it. */
  endedBy: number
  /** Who was told of an older one says nothing more of it. A fleet that fails together makes millions of deliveries in an hour. */
  doneBy: number
}

interface Swept {
  id: number
  created_at: number
}

const GONE = 'it is not enrolled any more'
const OVER = 'its time was over, and no verifier had told it'

/**
 * Gives up on receivers that nobody tells, and erases what is done with and shown to nobody, in slices: all but the newest revocations, and what someone is still to be told.
 * @returns how many revocations were erased.
 */
export async function sweepRevocations(
  database: Kysely<unknown>,
  { endedBy, doneBy }: SweptRevocations,
  signal?: AbortSignal,
): Promise<number> {
  const db = database as Kysely<RevocationTables>
  const oldestShown = await db
    .selectFrom('revocations')
    .select('id')
    .orderBy('id', 'desc')
    .offset(SHOWN_REVOCATIONS - 1)
    .limit(1)
    .executeTakeFirst()
  let erased = 0
  for (let after = 0; ; ) {
    const page = await db.selectFrom('revocations').select(['id', 'created_at']).where('id', '>', after).orderBy('id').limit(PAGE).execute()
    for (const row of page as Swept[]) {
      if (signal?.aborted) return erased
      await giveUp(db, row, endedBy)
      if (oldestShown && row.id < oldestShown.id! && row.created_at < doneBy && (await erase(db, row.id, signal))) erased++
      await turn()
    }
    if (page.length < PAGE) return erased
    after = page.at(-1)!.id!
  }
}

/** Erases whom it was told to, also while others are still to be told. @returns whether nobody is to be told of it any more, and it is gone. */
async function erase(db: Kysely<RevocationTables>, id: number, signal?: AbortSignal): Promise<boolean> {
  const done = sql`from deliveries where revocation_id = ${id} and state <> 'pending'`
  while ((await sql`delete ${done} and target in (select target ${done} limit ${SLICE})`.execute(db)).numAffectedRows) {
    await turn()
    if (signal?.aborted) return false
  }
  const pending = db.selectFrom('deliveries').select('target').where('revocation_id', '=', id).limit(1)
  if (await pending.executeTakeFirst()) return false
  await db.deleteFrom('revocations').where('id', '=', id).execute()
  return true
}

/**
 * Gives up on receivers that nobody tells: machines that are not enrolled any more, and receivers that are no agents and that no verifier gave up on when the time was over, such as one that is configured
 * nowhere any more. Of machines that are enrolled, who attests them knows; `agents` stands for some that are.
 */
async function giveUp(db: Kysely<RevocationTables>, { id, created_at }: Swept, endedBy: number): Promise<void> {
  const isAgent = sql`target like 'agent:%'`
  const isGone = sql`(${isAgent} and not exists (select 1 from agents where agent_id = substr(target, 7)))`
  const isOver = created_at < endedBy ? sql`or (not ${isAgent} and target <> ${ALL_AGENTS})` : sql``
  await sql`update deliveries set state = 'given_up', last_error = case when ${isAgent} then ${GONE} else ${OVER} end
    where revocation_id = ${id} and state = 'pending' and (${isGone} ${isOver})`.execute(db)
}
