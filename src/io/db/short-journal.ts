import { type Kysely, sql } from 'kysely'

/** How long what was erased may stay in the journal. */
const PERIOD_MS = 10_000

/**
 * SQLite's write-ahead log keeps what was erased until it is begun again, which is after 4 MiB of changes: a copy of the files would have a key share that was given up long before. Here it is written
 * into the database and cut off, each ten seconds in which something was written.
 * @returns stops it.
 */
export function keepJournalShort(db: Kysely<unknown>, periodMs: number = PERIOD_MS): () => void {
  // Nothing is lost where it fails, as on a full disk: the log is as it was, and it is tried again.
  const timer = setInterval(() => void sql`pragma wal_checkpoint(truncate)`.execute(db).catch(() => undefined), periodMs)
  timer.unref()
  return () => clearInterval(timer)
}
