import type { Kysely } from 'kysely'
import { type MarkKeeper, openMark } from './database-mark.ts'
import { LEASE_TABLES, type LeaseStore, leaseStore } from './lease-store.ts'
import type { SchemaChange } from './migrate.ts'
import { NEWS_CHANNEL, NEWS_TABLES, type NewsStore, newsStore } from './news-store.ts'
import { type DatabasePlace, openDatabase } from './open-database.ts'
import { type Listener, postgresListener } from './postgres-listener.ts'
import type { PostgresPlace } from './postgres-pool.ts'
import { lockRoleFile, OWN_PLACE } from './role-lock.ts'
import { seamOf } from './seam.ts'
import { keepJournalShort } from './short-journal.ts'
import { MARKED_VERSION, VERIFIER_MIGRATIONS } from './verifier-schema.ts'

export type VerifierDatabase = Kysely<unknown>

/** What verifiers that share a database share besides what is enrolled. */
export interface SharedDatabase {
  readonly leases: LeaseStore
  readonly news: NewsStore
  /** @param heard that something may be new. */
  listen(heard: () => void): Listener
}

export interface OpenedDatabase {
  database: VerifierDatabase
  /** Null for a file, which is one verifier's. */
  shared: SharedDatabase | null
  /** What was done to it. */
  schema: SchemaChange
  /** Whether it is the one that was here last. */
  mark: MarkKeeper
  /** What the mark stands beside. */
  marked: string
  close(): Promise<void>
}

export interface VerifierPlace {
  readonly place: DatabasePlace
  /** Beside it is the mark: see `markPlace`. */
  readonly marked: string
  /** Of this verifier. */
  readonly name: string
}

/**
 * Opens the verifier's database. A file of SQLite for this process alone: two verifiers on one would both attest every agent, and give V to two transport keys. On a server each verifier has
 * leases (`lease-store.ts`).
 * @throws KeylimeError `conflict` when another verifier has the file open; as `openDatabase`.
 */
export async function openVerifierDatabase({ place, marked, name }: VerifierPlace): Promise<OpenedDatabase> {
  return typeof place === 'string' ? openFile(place) : openServer(place, marked, name)
}

async function openServer(place: PostgresPlace, marked: string, name: string): Promise<OpenedDatabase> {
  const { database, schema } = await migrated(place)
  try {
    await makeShared(database)
    const leases = leaseStore(database, name)
    // A verifier that comes to others knows nothing of the database yet; they do, and tell an older one.
    const mark = await openMark(database, marked, { isMarked: true, isVouched: (await leases.beat()).count > 1 })
    return {
      database,
      shared: { leases, news: newsStore(database), listen: (heard) => postgresListener(place, NEWS_CHANNEL, heard) },
      schema,
      mark,
      marked,
      async close() {
        await mark.record().catch(() => undefined)
        await leases.end().catch(() => undefined) // it is missed then
        await database.destroy()
      },
    }
  } catch (error) {
    await database.destroy()
    throw error
  }
}

/** What several verifiers share besides what is enrolled. */
export const makeShared = (database: Kysely<unknown>): Promise<void> =>
  seamOf(database).alone(database, async (alone) => {
    for (const statement of [...LEASE_TABLES, ...NEWS_TABLES]) await statement.execute(alone)
  })

async function migrated(place: DatabasePlace): Promise<{ database: VerifierDatabase; schema: SchemaChange }> {
  let schema: SchemaChange = { from: 0, to: 0 }
  const database = await openDatabase<unknown>(place, 'verifier', VERIFIER_MIGRATIONS, (change) => {
    schema = change
  })
  return { database, schema }
}

async function openFile(file: string): Promise<OpenedDatabase> {
  const { name, lock } = await lockRoleFile('verifier', file, OWN_PLACE)
  try {
    const { database, schema } = await migrated(file)
    const isMarked = schema.from === 0 || schema.from >= MARKED_VERSION
    const mark = await openMark(database, name, { isMarked, isVouched: false }).catch(async (error) => {
      await database.destroy()
      throw error
    })
    const stop = keepJournalShort(database)
    return {
      database,
      shared: null,
      schema,
      mark,
      marked: name,
      async close() {
        stop()
        await mark.record().catch(() => undefined) // one that is behind is that of a run that was killed
        await database.destroy()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}
