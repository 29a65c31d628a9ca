import { type Kysely, sql } from 'kysely'
import { isKeylimeError } from '../../core/errors.ts'
import { type BackupFile, type BackupHead, damaged, openBackup } from './backup-file.ts'
import { type CopiedCount, copyTables, digestTables, tablesIn } from './copy-tables.ts'
import { overtake } from './database-mark.ts'
import { markBeside, writeMark } from './mark-file.ts'
import { migrate } from './migrate.ts'
import type { MarkedPlace } from './move-role.ts'
import { beginReplacement } from './replace-database.ts'
import type { Replacement } from './replacement.ts'
import { changing, seamOf } from './seam.ts'
import { leaveUntold } from './untold-events.ts'
import { VERIFIER_TABLES } from './verifier-copy.ts'
import { makeShared } from './verifier-database.ts'
import { VERIFIER_MIGRATIONS } from './verifier-schema.ts'
import { verifierStore } from './verifier-store.ts'

export interface RestoreOptions {
  readonly now: () => number
  /** Whether the database that is there may be replaced; what it has is known by then. @throws what ends the restore. */
  confirm(found: FoundDatabase | null, backup: BackupHead): Promise<void>
  /** As for `copyTables`. */
  readonly copied: (table: string, rows: number) => void
}

/** What is there before a restore; null for what cannot be read. */
export interface FoundDatabase {
  readonly machines: number | null
}

export interface RestoreReport {
  readonly backup: BackupHead
  /** Where the database is kept that was replaced; null where there was none. */
  readonly kept: string | null
  /** All machines that are enrolled now. */
  readonly agentIds: readonly string[]
  /** Machines that get a payload only when it is delivered again. */
  readonly withheld: readonly string[]
  /** Machines that the replaced database has, and the restored one has not. */
  readonly lost: readonly string[]
}

/**
 * Puts a backup in the place of a verifier's database, whole or not at all: a crash leaves the one before. The restored one has no V, counts as later than any other that is known, and has
 * what the next verifier tells of it.
 * @throws KeylimeError `conflict` while a verifier runs on the database, `malformed` for a damaged backup, `database_failed` for one of a newer program, and what `confirm` throws; nothing
 * is changed then.
 */
export async function restoreVerifier(file: string, to: MarkedPlace, options: RestoreOptions): Promise<RestoreReport> {
  const backup = await openBackup(file)
  const { head } = backup
  try {
    const replacement = await beginReplacement(to.place, head.schema, options.now())
    try {
      const { before } = replacement
      await options.confirm(before && { machines: before.agentIds?.length ?? null }, head)
      await fill(replacement, backup, { file, copied: options.copied })
      const { withheld, agentIds } = await leaveWord(replacement.database, head, options.now())
      const mark = await overtake(replacement.database, head.mark, [before?.mark ?? null, await markBeside(to.marked)])
      const kept = await replacement.swap()
      await writeMark(to.marked, mark)
      const has = new Set(agentIds)
      return { backup: head, kept, agentIds, withheld, lost: (before?.agentIds ?? []).filter((id) => !has.has(id)) }
    } finally {
      await replacement.close()
    }
  } finally {
    await backup.close()
  }
}

/** Reads all of a backup, and changes nothing. @throws KeylimeError as `restoreVerifier`. */
export async function checkBackup(file: string, looked: RestoreOptions['copied']): Promise<BackupHead> {
  const { head, database, close } = await openBackup(file)
  try {
    const tables = VERIFIER_TABLES.filter(({ name }) => head.tables.some(({ table }) => table === name))
    compare(file, head, await asWritten(file, digestTables(database, tables, looked)))
    return head
  } finally {
    await close()
  }
}

async function fill(
  { database }: Pick<Replacement, 'database'>,
  backup: BackupFile,
  { file, copied }: { file: string; copied: RestoreOptions['copied'] },
): Promise<void> {
  const tables = await tablesIn(database, VERIFIER_TABLES)
  compare(file, backup.head, await asWritten(file, copyTables(backup.database, database, tables, copied)))
  await seamOf(database).alone(database, (alone) => migrate(alone, 'verifier', VERIFIER_MIGRATIONS))
  if (seamOf(database).name === 'postgresql') await makeShared(database)
}

/** What goes wrong with SQLite here is the backup's: its pages do not fit together any more. */
const asWritten = <T>(file: string, reading: Promise<T>): Promise<T> =>
  reading.catch((error) => {
    throw isKeylimeError(error) ? error : damaged(file, (error as Error).message)
  })

function compare(file: string, head: BackupHead, found: readonly CopiedCount[]): void {
  const read = new Map(found.map((table) => [table.table, table]))
  for (const { table, rows, digest } of head.tables)
    if (read.get(table)?.digest !== digest) {
      const there = read.get(table)?.rows ?? 0
      const what = there === rows ? 'its content was changed' : `${there} rows are there, ${rows} were written`
      throw damaged(file, `table ${table} is not what was written: ${what}`)
    }
}

/** No V is in it, whoever wrote the backup; what the next verifier tells. */
const leaveWord = (database: Kysely<unknown>, { takenAt, verifier }: BackupHead, now: number) =>
  changing(database, async (transaction) => {
    await verifierStore(transaction, 0).withholdAll()
    const { rows } = await sql<{ agent_id: string; v_state: string }>`select agent_id, v_state from agents order by agent_id`.execute(
      transaction,
    )
    const withheld = rows.filter((row) => row.v_state === 'withheld').map((row) => row.agent_id)
    const times = { taken_at: new Date(takenAt).toISOString(), restored_at: new Date(now).toISOString() }
    await leaveUntold(transaction, [
      { type: 'database_restored', verifier_id: verifier, ...times, agents: rows.length, withheld: withheld.length },
      ...withheld.map((agent_id) => ({ type: 'v_withheld' as const, agent_id })),
    ])
    return { withheld, agentIds: rows.map((row) => row.agent_id) }
  })
