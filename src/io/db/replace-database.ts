import type { Kysely } from 'kysely'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import type { DatabasePlace } from './open-database.ts'
import { replaceFile } from './replace-file.ts'

/** A database that is made beside the one that counts, and takes its place as a whole. */
export interface Replacement {
  /** What is there now, as far as it can be read; null for nothing. */
  readonly before: BeforeReplacement | null
  /** The new one: empty, in the version of a schema that was asked for. */
  readonly database: Kysely<unknown>
  /** Puts it into its place, whole or not at all, and closes it. @returns where the one before is kept; null where there was none. @throws KeylimeError `conflict`. */
  swap(): Promise<string | null>
  /** What is not in its place is gone. */
  close(): Promise<void>
}

/** Null for what cannot be read: a damaged one is replaced, too. */
export interface BeforeReplacement {
  readonly mark: DatabaseMark | null
  /** Ids of all machines. */
  readonly agentIds: readonly string[] | null
}

/**
 * Begins a database of the verifier in the place of the one that is there, while no verifier uses that. @param schema version that it begins with. @param at when, in milliseconds since
 * the epoch: names what is kept.
 * @throws KeylimeError `conflict` while a verifier runs on it; as `openDatabase`.
 */
export async function beginReplacement(place: DatabasePlace, schema: number, at: number): Promise<Replacement> {
  const stamp = new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  if (typeof place === 'string') return replaceFile(place, schema, stamp)
  const { replaceSchema } = await import('./replace-schema.ts')
  return replaceSchema(place, schema, stamp)
}
