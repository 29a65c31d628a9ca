import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { z } from 'zod'
import type { Mailbox } from '../../core/api/push/delivery.ts'
import type { StoredDelivery } from '../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../core/errors.ts'
import { changesWithin, type GroupedChanges, groupedChanges } from './grouped-changes.ts'
import type { Migration } from './migrate.ts'
import { seamOf } from './seam.ts'

/** What an operator ordered, as it will lie in the mailbox of one machine. */
export interface NewMailbox extends Omit<Mailbox, 'payload'> {
  /** Text of the sealed payload in UTF-8; null for none. */
  readonly payload: Buffer | null
  readonly delivery: StoredDelivery
}

/** A mailbox of which the payload is on the disk already: see `withStaged`. */
export interface StagedMailbox extends NewMailbox {
  readonly pieces: string
}

/** The content of a mailbox; its payload is read in pieces, so that no turn of the event loop has all of it. */
export interface OpenMailbox extends Omit<Mailbox, 'payload'> {
  /** Null for none. @throws KeylimeError `conflict` when another mailbox took its place meanwhile. */
  readonly payload: AsyncIterable<Buffer> | null
}

export interface MailboxRow {
  agent_id: string
  enrolment: string
  generation: number
  ordered_at: number
  /** JSON: order, signature, certificate and share; null when it was erased. */
  content: string | null
  /** Names the pieces of the payload; null for none. */
  pieces: string | null
  /** Bytes that it takes. */
  size: number
  report: string | null
}

export interface MailboxTables {
  mailboxes: MailboxRow
  mailbox_pieces: { pieces: string; seq: number; bytes: Uint8Array }
  mailbox_leftovers: { pieces: string }
}

/** One mailbox a machine, gone with it. */
export const MAILBOX_TABLES: Migration = async (db) => {
  await sql`create table mailboxes(
    agent_id text primary key references agents(agent_id) on delete cascade, enrolment text not null, generation integer not null,
    ordered_at integer not null, content text, pieces text, size integer not null, report text) without rowid`.execute(db)
  await sql`create table mailbox_pieces(pieces text not null, seq integer not null, bytes blob not null, primary key(pieces, seq))`.execute(
    db,
  )
  await sql`create trigger mailbox_emptied after delete on mailboxes begin delete from mailbox_pieces where pieces = old.pieces; end`.execute(
    db,
  )
}

/** Payloads without a mailbox are erased after the transaction, piece by piece: what is erased is overwritten, and all of it at once would hold up everybody. */
export const MAILBOX_LEFTOVERS: Migration = async (db) => {
  await sql`create table mailbox_leftovers(pieces text primary key) without rowid`.execute(db)
  await sql`drop trigger mailbox_emptied`.execute(db)
  await sql`create trigger mailbox_dropped after delete on mailboxes when old.pieces is not null
    begin insert into mailbox_leftovers values(old.pieces) on conflict do nothing; end`.execute(db)
  await sql`create trigger mailbox_emptied after update of pieces on mailboxes when old.pieces is not null and new.pieces is distinct from old.pieces
    begin insert into mailbox_leftovers values(old.pieces) on conflict do nothing; end`.execute(db)
}

/** Content of mailboxes. What is stored of a mailbox goes with the enrolment in one transaction: `VerifierStore`. */
export interface MailboxStore {
  /** @throws KeylimeError `payload_too_large` for a payload, or all mailboxes together. */
  check(mailbox: NewMailbox, agentId: string): Promise<void>
  /**
   * Puts the payload on the disk, in pieces, before the transaction that gives it a mailbox (`putMailbox`), which is in `work`. When that throws, nothing of it is left. @param mailbox null for
   * none.
   */
  withStaged<T>(mailbox: NewMailbox | null, work: (staged: StagedMailbox | null) => Promise<T>): Promise<T>
  /** Null for none, and for one that was erased. */
  open(agentId: string): Promise<OpenMailbox | null>
  /** Erases what a crash left without a mailbox; at the start. */
  sweep(): Promise<void>
}

export interface MailboxLimits {
  /** Bytes of the text of one sealed payload. */
  each: number
  /** Of all mailboxes together. */
  total: number
}

export const DEFAULT_MAILBOXES: MailboxLimits = { each: 16 << 20, total: 1 << 30 }

/** A commit of so many bytes takes some milliseconds. */
const PIECE_BYTES = 1 << 20

/** @param random names the pieces of a payload. */
export function mailboxStore(database: Kysely<unknown>, limits: MailboxLimits, random: (count: number) => Buffer): MailboxStore {
  const db = database as Kysely<MailboxTables>

  async function* payload(pieces: string): AsyncGenerator<Buffer> {
    if (!(await db.selectFrom('mailboxes').select('size').where('pieces', '=', pieces).executeTakeFirst())) throw replaced()
    const { rows } = await sql<{ count: number }>`select count(*) as count from mailbox_pieces where pieces = ${pieces}`.execute(db)
    for (let seq = 0; seq < Number(rows[0]!.count); seq++) {
      const row = await db
        .selectFrom('mailbox_pieces')
        .select('bytes')
        .where('pieces', '=', pieces)
        .where('seq', '=', seq)
        .executeTakeFirst()
      if (!row) throw replaced()
      yield Buffer.from(row.bytes)
    }
  }

  return {
    async check(mailbox, agentId) {
      const bytes = mailbox.payload?.length ?? 0
      if (bytes > limits.each) throw tooLarge(bytes, limits.each)
      await refuseFull(db, { agentId, size: sizeOf(mailbox), total: limits.total })
    },
    async withStaged(mailbox, work) {
      if (mailbox === null) return work(null)
      return seamOf(db).staging(database, async () => {
        const bytes = mailbox.payload
        const pieces = random(16).toString('hex')
        try {
          for (let at = 0, seq = 0; bytes && at < bytes.length; at += PIECE_BYTES, seq++) {
            await db
              .insertInto('mailbox_pieces')
              .values({ pieces, seq, bytes: bytes.subarray(at, at + PIECE_BYTES) })
              .execute()
            await turn()
          }
          return await work({ ...mailbox, pieces })
        } catch (error) {
          await db.insertInto('mailbox_leftovers').values({ pieces }).execute()
          await eraseLeftovers(database)
          throw error
        }
      })
    },
    async open(agentId) {
      const row = await db.selectFrom('mailboxes').select(['content', 'pieces']).where('agent_id', '=', agentId).executeTakeFirst()
      if (!row || row.content === null) return null
      return { ...content.parse(JSON.parse(row.content)), payload: row.pieces === null ? null : payload(row.pieces) }
    },
    async sweep() {
      await seamOf(db).clearing(database, async () => {
        await sql`insert into mailbox_leftovers
          select distinct pieces from mailbox_pieces where pieces not in (select pieces from mailboxes where pieces is not null)
          on conflict do nothing`.execute(db)
        await eraseLeftovers(database)
      })
    },
  }
}

/** Changes, with what a commit leaves of mailboxes erased behind it; where that cannot be, behind the next one, or at the next start. Within a transaction, that is left to whoever commits it. */
export const changesOf = <Tables>(db: Kysely<Tables>): GroupedChanges<Tables> =>
  db.isTransaction ? changesWithin(db) : groupedChanges(db, () => eraseLeftovers(db as never))

/** In the order of the pieces: who reads them meanwhile finds that they have gone. */
async function eraseLeftovers(database: Kysely<unknown>): Promise<void> {
  const db = database as Kysely<MailboxTables>
  for (;;) {
    const left = await db.selectFrom('mailbox_leftovers').select('pieces').limit(1).executeTakeFirst()
    if (!left) return
    const mine = sql`from mailbox_pieces where pieces = ${left.pieces}`
    while ((await sql`delete ${mine} and seq = (select min(seq) ${mine})`.execute(db)).numAffectedRows) await turn()
    await db.deleteFrom('mailbox_leftovers').where('pieces', '=', left.pieces).execute()
  }
}

const replaced = () => new KeylimeError('conflict', 'another mailbox has replaced this one')

/** In the transaction that stores the enrolment. @throws KeylimeError `payload_too_large` when all mailboxes together have no room for it. */
export async function putMailbox(
  transaction: Kysely<MailboxTables>,
  { agentId, mailbox, total }: { agentId: string; mailbox: StagedMailbox; total: number },
): Promise<void> {
  const { delivery, pieces, payload, order, signature, certificate, share } = mailbox
  const size = sizeOf(mailbox)
  await refuseFull(transaction, { agentId, size, total })
  await dropMailbox(transaction, agentId)
  const { enrolment, generation, orderedAt: ordered_at } = delivery
  const content = JSON.stringify({ order, signature, certificate, share })
  await transaction
    .insertInto('mailboxes')
    .values({ agent_id: agentId, enrolment, generation, ordered_at, content, pieces: payload ? pieces : null, size, report: null })
    .execute()
}

export async function dropMailbox(transaction: Kysely<MailboxTables>, agentId: string): Promise<void> {
  await transaction.deleteFrom('mailboxes').where('agent_id', '=', agentId).execute()
}

/** What the verifier knows of a delivery after a change of its machine's state, and whether its content is still needed. */
export async function saveDelivery(
  transaction: Kysely<MailboxTables>,
  agentId: string,
  { enrolment, report, isKept }: StoredDelivery,
): Promise<void> {
  const mine = transaction.updateTable('mailboxes').where('agent_id', '=', agentId).where('enrolment', '=', enrolment)
  await mine.set({ report: report && JSON.stringify(report) }).execute()
  if (!isKept) await mine.set({ content: null, pieces: null, size: 0 }).execute()
}

const content = z.object({ order: z.string(), signature: z.string(), certificate: z.string(), share: z.string() })

const sizeOf = ({ order, signature, certificate, share, payload }: NewMailbox): number =>
  order.length + signature.length + certificate.length + share.length + (payload?.length ?? 0)

async function refuseFull(
  db: Kysely<MailboxTables>,
  { agentId, size, total }: { agentId: string; size: number; total: number },
): Promise<void> {
  const { rows } = await sql<{ bytes: number | null }>`select sum(size) as bytes from mailboxes where agent_id <> ${agentId}`.execute(db)
  if (Number(rows[0]?.bytes ?? 0) + size <= total) return
  throw new KeylimeError(
    'payload_too_large',
    `the mailboxes of all machines have no room for ${size} more bytes (mailbox_total_size = ${total})`,
    {
      hint: 'they empty themselves as machines come; delete machines that never will, or raise mailbox_total_size at the verifier',
    },
  )
}

const tooLarge = (size: number, each: number) =>
  new KeylimeError('payload_too_large', `the sealed payload has ${size} bytes, and a mailbox here holds ${each} (mailbox_max_size)`, {
    hint: 'raise mailbox_max_size at the verifier, or let the payload fetch large files itself',
  })
