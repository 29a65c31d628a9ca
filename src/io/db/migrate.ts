import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'

/** One step of a schema. Its place in the list is its version: steps are only ever added at the end. */
export type Migration = (db: Kysely<unknown>) => Promise<void>

/** Versions of a schema before and after; equal when there was nothing to do, and from 0 for a new one. */
export interface SchemaChange {
  from: number
  to: number
}

/**
 * Brings a schema up to date, each step and its number in one transaction. Registrar and verifier may share a file: `name` keeps them apart.
 * @throws KeylimeError `database_failed` when the database was written by a newer program; nothing is changed then.
 */
export async function migrate(db: Kysely<unknown>, name: string, migrations: readonly Migration[]): Promise<SchemaChange> {
  await sql`create table if not exists keylime_schema(name text primary key, version integer not null)`.execute(db)
  const { rows } = await sql<{ version: number }>`select version from keylime_schema where name = ${name}`.execute(db)
  const version = rows[0]?.version ?? 0
  refuseNewer(name, version, migrations.length)
  for (let next = version; next < migrations.length; next++) {
    await db.transaction().execute(async (transaction) => {
      await migrations[next]!(transaction)
      await sql`insert into keylime_schema values(${name}, ${next + 1}) on conflict(name) do update set version = excluded.version`.execute(
        transaction,
      )
    })
  }
  return { from: version, to: migrations.length }
}

/** @param newest that this program knows. @throws KeylimeError `database_failed` for a schema of a newer program. */
export function refuseNewer(name: string, version: number, newest: number): void {
  if (version <= newest) return
  throw new KeylimeError('database_failed', `the ${name} database has version ${version}, this program knows ${newest}`, {
    hint: 'it was used by a newer keylime: install that one again, or restore a backup',
  })
}
