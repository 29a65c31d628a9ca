import type { DatabasePlace } from './open-database.ts'
import { replaceFile } from './replace-file.ts'
import type { Replacement } from './replacement.ts'

/**
 * Begins a database of the verifier in the place of the one that is there, while no verifier uses that. @param schema version that it begins with. @param at when, in milliseconds since
 * the epoch: names what is kept, to the millisecond: of two within one second, the second one must not take the place of the first.
 * @throws KeylimeError `conflict` while a verifier runs on it; as `openDatabase`.
 */
export async function beginReplacement(place: DatabasePlace, schema: number, at: number): Promise<Replacement> {
  const stamp = new Date(at).toISOString().replaceAll(/[-:.]/g, '')
  if (typeof place === 'string') return replaceFile(place, schema, stamp)
  const { replaceSchema } = await import('./replace-schema.ts')
  return replaceSchema(place, schema, stamp)
}
