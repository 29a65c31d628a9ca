import type { Kysely } from 'kysely'
import type { CopiedTable } from './copy-tables.ts'
import type { Migration } from './migrate.ts'
import type { DatabasePlace } from './open-database.ts'
import type { PostgresPlace } from './postgres-pool.ts'
import type { DatabaseRole } from './role-lock.ts'

/** A database and what its mark stands beside (`markPlace`). */
export interface MarkedPlace {
  readonly place: DatabasePlace
  readonly marked: string
}

/** What is moved of a role, and how it says that it runs. */
export interface MovedRole {
  readonly name: DatabaseRole
  readonly tables: readonly CopiedTable[]
  readonly migrations: readonly Migration[]
  /** From this version on a database has a mark. */
  readonly marked: number
  /** Makes what it has on a server besides its schema. */
  share(database: Kysely<unknown>): Promise<void>
  /** Of a server. @throws KeylimeError `conflict` while one runs on it. */
  refuseRunning(db: Kysely<unknown>, place: PostgresPlace): Promise<void>
  /** The same, part of a transaction: until it ends, none begins. Looks at nothing before it has its locks. */
  hold(transaction: Kysely<unknown>, place: PostgresPlace): Promise<void>
}

/** Of a role on a server. */
export const schemaOf = ({ name }: Pick<MovedRole, 'name'>): string => `keylime_${name}`
