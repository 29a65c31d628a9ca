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
  const timer = setInterval(() => void cutOff(db).catch(() => undefined), periodMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** Another process that reads, such as a backup, is not waited for: this thread would stand still meanwhile. */
const cutOff = (db: Kysely<unknown>): Promise<void> =>
  db.connection().execute(async (connection) => {
    const { rows } = await sql<{ timeout: number }>`pragma busy_timeout`.execute(connection)
    await sql`pragma busy_timeout = 0`.execute(connection)
    try {
      await sql`pragma wal_checkpoint(truncate)`.execute(connection)
    } finally {
      await sql.raw(`pragma busy_timeout = ${rows[0]!.timeout}`).execute(connection)
    }
  })
