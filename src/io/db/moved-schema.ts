import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'

const MOVED = '_moved_'

/** What the schema of a role is called once its data are elsewhere. @param now milliseconds since the epoch. */
export const movedSchema = (schema: string, now: number): string =>
  `${schema}${MOVED}${new Date(now)
    .toISOString()
    .replaceAll(/[-:]|\.\d+/g, '')
    .toLowerCase()}`

/**
 * Whether a schema is there. A role that was moved away must not begin with nothing where it was. @param of the server, for people.
 * @throws KeylimeError `conflict` where it is not there, as its data were moved.
 */
export async function hasSchema(db: Kysely<unknown>, schema: string, of: string): Promise<boolean> {
  const { rows } = await sql<{ name: string; told: string | null }>`select nspname as name, obj_description(oid, 'pg_namespace') as told
    from pg_namespace where nspname = ${schema} or starts_with(nspname, ${schema + MOVED}) order by nspname`.execute(db)
  const last = rows.at(-1)
  if (!last || rows[0]!.name === schema) return rows.length > 0
  const role = schema.replace(/^keylime_/, '')
  throw new KeylimeError('conflict', `the ${role}’s data were ${last.told ?? 'moved'}, and are no longer in ${of}`, {
    hint: `set database_url in ${role}.conf to where they are. Only if they are lost there: "alter schema ${last.name} rename to ${schema}"`,
  })
}
