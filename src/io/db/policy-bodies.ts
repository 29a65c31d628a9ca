import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { createGiveWay } from '../next-turn.ts'
import type { Migration } from './migrate.ts'
import { seamOf } from './seam.ts'

/** A policy's text as UTF-8, and its SHA-256 in hex: equal policies are held, and parsed, once. */
export interface PolicyBody {
  digest: string
  bytes: Buffer
}

export interface PolicyBodyTables {
  policy_bodies: { digest: string; size: number }
  policy_pieces: { digest: string; seq: number; bytes: Uint8Array }
  policies: { kind: string; name: string; digest: string }
}

/** A commit of so many bytes takes some milliseconds: a policy of 100 MB must not hold up the attestation of anybody. */
const PIECE_BYTES = 1 << 20
/** After so long, the piece that is under way is the last one of this turn. */
const SLICE_MS = 8

/** Texts of policies. They are written and read in pieces, with turns of the event loop between them. */
export interface PolicyBodies {
  /** Stores what is missing of a body, before the transaction that gives it a name. Until then `sweep` leaves it alone. */
  stage(body: PolicyBody): Promise<void>
  /** Ends the protection of `stage`, whether the body has a name now or not. */
  release(digest: string): void
  /** Null when there is no such body. */
  read(digest: string): Promise<Buffer | null>
  /** Deletes what no name stands for: also what a crash left between `stage` and its transaction. */
  sweep(): Promise<void>
}

export function policyBodies(db: Kysely<PolicyBodyTables>): PolicyBodies {
  const staged = new Map<string, number>()

  async function stored(digest: string): Promise<number | null> {
    const row = await db.selectFrom('policy_bodies').select('size').where('digest', '=', digest).executeTakeFirst()
    return row?.size ?? null
  }

  return {
    async stage({ digest, bytes }) {
      staged.set(digest, (staged.get(digest) ?? 0) + 1)
      if ((await stored(digest)) !== null) return
      const giveWay = createGiveWay(SLICE_MS)
      for (const [seq, piece] of piecesOf(bytes).entries()) {
        await db
          .insertInto('policy_pieces')
          .values({ digest, seq, bytes: piece })
          .onConflict((c) => c.doNothing())
          .execute()
        await giveWay()
      }
      await db
        .insertInto('policy_bodies')
        .values({ digest, size: bytes.length })
        .onConflict((c) => c.doNothing())
        .execute()
    },
    release(digest) {
      const left = (staged.get(digest) ?? 1) - 1
      if (left > 0) staged.set(digest, left)
      else staged.delete(digest)
    },
    async read(digest) {
      const size = await stored(digest)
      if (size === null) return null
      const whole = Buffer.allocUnsafe(size)
      for (let seq = 0, at = 0; at < size; seq++) {
        const row = await db
          .selectFrom('policy_pieces')
          .select('bytes')
          .where('digest', '=', digest)
          .where('seq', '=', seq)
          .executeTakeFirst()
        if (!row) return null
        whole.set(row.bytes, at)
        at += row.bytes.length
        if (size > PIECE_BYTES) await turn()
      }
      return whole
    },
    sweep: () => seamOf(db).clearing(db as never, sweep),
  }

  async function sweep(): Promise<void> {
    const unused = await db
      .selectFrom('policy_bodies')
      .select('digest')
      .where('digest', 'not in', db.selectFrom('policies').select('digest'))
      .execute()
    for (const { digest } of unused)
      if (!staged.has(digest))
        await db
          .deleteFrom('policy_bodies')
          .where('digest', '=', digest)
          .where('digest', 'not in', db.selectFrom('policies').select('digest'))
          .execute()
    const pieces = await db
      .selectFrom('policy_pieces')
      .select(['digest', 'seq'])
      .where('digest', 'not in', db.selectFrom('policy_bodies').select('digest'))
      .execute()
    for (const { digest, seq } of pieces) {
      if (staged.has(digest)) continue
      await db.deleteFrom('policy_pieces').where('digest', '=', digest).where('seq', '=', seq).execute()
      await turn()
    }
  }
}

function piecesOf(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) pieces.push(bytes.subarray(at, at + PIECE_BYTES))
  return pieces
}

/** Bodies move from one column into pieces. */
export const POLICY_PIECES: Migration = async (db) => {
  await sql`create table policy_pieces(digest text not null, seq integer not null, bytes blob not null, primary key(digest, seq))`.execute(
    db,
  )
  await sql`alter table policy_bodies add column size integer not null default 0`.execute(db)
  const { rows } = await sql<{ digest: string }>`select digest from policy_bodies`.execute(db)
  for (const { digest } of rows) {
    const found = await sql<{ body: string }>`select body from policy_bodies where digest = ${digest}`.execute(db)
    const bytes = Buffer.from(found.rows[0]!.body)
    for (const [seq, piece] of piecesOf(bytes).entries())
      await sql`insert into policy_pieces values(${digest}, ${seq}, ${piece})`.execute(db)
    await sql`update policy_bodies set size = ${bytes.length} where digest = ${digest}`.execute(db)
  }
  await sql`alter table policy_bodies drop column body`.execute(db)
}
