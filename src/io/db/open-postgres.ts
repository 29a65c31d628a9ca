import { Kysely, PostgresAdapter, PostgresDialect, type PostgresPoolClient, sql } from 'kysely'
import { nameOfServer } from '../../core/database-url.ts'
import { isKeylimeError, KeylimeError, rootCause } from '../../core/errors.ts'
import { hasSchema } from './moved-schema.ts'
import { refusesUser } from './postgres-errors.ts'
import { openPool, type PostgresPlace } from './postgres-pool.ts'
import { postgresSeam } from './postgres-seam.ts'

/** What is used here came with PostgreSQL 12; Debian has newer ones. */
const OLDEST = 120_000

/**
 * Opens the schema of one role on a server, and makes it where it is missing: roles and other programs may share a database. @param schema a plain name.
 * @throws KeylimeError `unavailable` for a server that cannot be used now, `database_failed` for one that is too old or does not let this user make the schema, `conflict` where it was moved.
 */
export async function openPostgres<Tables>(place: PostgresPlace, schema: string): Promise<Kysely<Tables>> {
  await lookAtServer(place)
  const db = await openServer<Tables>(place, schema)
  try {
    if (!(await hasSchema(db as Kysely<unknown>, schema, nameOfServer(place.server)))) await prepare(db as Kysely<unknown>, schema)
    return db
  } catch (error) {
    await db.destroy()
    throw isKeylimeError(error) && error.code !== 'database_failed' ? error : refused(rootCause(error), place, schema)
  }
}

/** Makes a schema where it is missing, also where one was moved away. @throws KeylimeError as `openPostgres`. */
export async function makeSchema(place: PostgresPlace, schema: string): Promise<void> {
  const db = await openServer<unknown>({ ...place, poolSize: 1 }, schema)
  try {
    const { rows } = await sql`select 1 from pg_namespace where nspname = ${schema}`.execute(db)
    if (rows.length === 0) await prepare(db, schema)
  } catch (error) {
    throw isKeylimeError(error) && error.code !== 'database_failed' ? error : refused(rootCause(error), place, schema)
  } finally {
    await db.destroy()
  }
}

/** Opens a schema as it is, if it is there. @throws KeylimeError as `openPool`. */
export async function openServer<Tables>(place: PostgresPlace, schema: string): Promise<Kysely<Tables>> {
  const pool = await openPool(place, schema)
  const seam = postgresSeam(pool)
  const dialect = new PostgresDialect({ pool })
  return new Kysely<Tables>({
    dialect: {
      createDriver: () => dialect.createDriver(),
      createQueryCompiler: () => dialect.createQueryCompiler(),
      createIntrospector: (of) => dialect.createIntrospector(of),
      createAdapter: () => Object.assign(new PostgresAdapter(), { seam }),
    },
  })
}

/** What a look at a server shows. */
export interface ServerLook {
  readonly version: string
  /** Of the user that we are there. */
  readonly name: string
  /** Of our schema, where one was asked for; 0 where there is none yet. */
  readonly schemaVersion: number
}

/** Looks whether a server takes us, and changes nothing. @param asked whose schema is looked at. @throws KeylimeError as `openPostgres`. */
export async function lookAtServer(place: PostgresPlace, asked?: { schema: string; role: string }): Promise<ServerLook> {
  const pool = await openPool({ ...place, poolSize: 1 }, 'pg_catalog')
  try {
    const client = await pool.connect()
    try {
      const server = await versionOf(client)
      return { ...server, schemaVersion: asked ? await schemaVersionOf(client, asked) : 0 }
    } finally {
      client.release()
    }
  } finally {
    await pool.end()
  }
}

/** Looks whether `openPostgres` would find a schema that is this user's, or could make it, and changes nothing. @throws KeylimeError as `openPostgres`. */
export async function requireSchema(place: PostgresPlace, schema: string): Promise<void> {
  const db = await openServer<unknown>({ ...place, poolSize: 1 }, schema)
  try {
    if (await hasSchema(db, schema, nameOfServer(place.server))) return await requireOwn(db, place, schema)
    const { rows } = await sql<{ may: boolean }>`select has_database_privilege(current_database(), 'create') as may`.execute(db)
    if (!rows[0]!.may) throw refused(new Error(`permission denied for database ${place.server.database}`), place, schema)
  } finally {
    await db.destroy()
  }
}

/** Names in a schema that a user may not look into count as missing: what is there must not be told as nothing. @throws KeylimeError `database_failed`. */
export async function requireUsage(db: Kysely<unknown>, { server }: PostgresPlace, schema: string): Promise<void> {
  const { rows } = await sql`select 1 from pg_namespace where nspname = ${schema} and not has_schema_privilege(oid, 'usage')`.execute(db)
  if (rows.length > 0) throw refusesUser(nameOfServer(server), new Error(`permission denied for schema ${schema}`))
}

/** A start makes functions anew, and changes tables of an older version: only their owner may. */
async function requireOwn(db: Kysely<unknown>, { server }: PostgresPlace, schema: string): Promise<void> {
  const { rows } = await sql<{ why: string }>`select 'permission denied for schema ' || nspname as why
      from pg_namespace where nspname = ${schema} and not has_schema_privilege(oid, 'create, usage')
    union all select 'must be owner of table ' || relname
      from pg_class join pg_namespace n on n.oid = relnamespace where nspname = ${schema} and relkind = 'r' and not pg_has_role(relowner, 'usage')
    union all select 'must be owner of function ' || proname
      from pg_proc join pg_namespace n on n.oid = pronamespace where nspname = ${schema} and not pg_has_role(proowner, 'usage')
    limit 1`.execute(db)
  if (rows[0]) throw refusesUser(nameOfServer(server), new Error(rows[0].why))
}

async function versionOf(client: PostgresPoolClient): Promise<{ version: string; name: string }> {
  const { rows } = await client.query<{ number: string; version: string; name: string }>(
    "select current_setting('server_version_num') as number, current_setting('server_version') as version, current_user as name",
    [],
  )
  const { number, version, name } = rows[0]!
  if (Number(number) >= OLDEST) return { version, name }
  throw new KeylimeError('database_failed', `the server has PostgreSQL ${version}, and at least ${OLDEST / 10_000} is needed`)
}

async function schemaVersionOf(client: PostgresPoolClient, { schema, role }: { schema: string; role: string }): Promise<number> {
  const table = `${schema}.keylime_schema`
  const { rows } = await client.query<{ found: boolean }>(
    "select coalesce(has_table_privilege(to_regclass($1), 'select'), false) as found",
    [table],
  )
  if (!rows[0]!.found) return 0
  const versions = await client.query<{ version: number }>(`select version from ${table} where name = $1`, [role])
  return Number(versions.rows[0]?.version ?? 0)
}

async function prepare(db: Kysely<unknown>, schema: string): Promise<void> {
  await sql`create schema if not exists ${sql.id(schema)}`.execute(db).catch((error: { code?: string }) => {
    if (error.code !== MADE_MEANWHILE) throw error
  })
}

/** unique_violation: `if not exists` is not proof against another process that makes it at the same time. */
const MADE_MEANWHILE = '23505'

const refused = (cause: Error, { server }: PostgresPlace, schema: string) =>
  new KeylimeError('database_failed', `cannot use the database ${nameOfServer(server)}: ${cause.message}`, {
    cause,
    hint: `the user needs the right to make a schema ("grant create on database ${server.database} to USER"), or a schema of its own ("create schema ${schema} authorization USER")`,
  })
