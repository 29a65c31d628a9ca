import { type Kysely, sql } from 'kysely'
import { hasTable } from './copy-tables.ts'
import { type DatabasePlace, nameOfPlace } from './open-database.ts'
import { openToRead, tableIsIn } from './open-to-read.ts'

/** Rows of upstream's verifier, as they are. */
export interface UpstreamVerifier {
  agents(): AsyncGenerator<Readonly<Record<string, unknown>>>
  /** By their number there. */
  policies(kind: 'runtime' | 'mb'): AsyncGenerator<{ id: number; name: string; text: string }>
  close(): Promise<void>
}

const TABLES = { runtime: { table: 'allowlists', column: 'ima_policy' }, mb: { table: 'mbpolicies', column: 'mb_policy' } } as const
const PAGE = 200
/** Where upstream's tables are on a server. */
const SCHEMA = 'public'

/** Opens a database to read it, and changes nothing. @returns null for one that is not upstream's. */
export async function openUpstreamVerifier(place: DatabasePlace): Promise<UpstreamVerifier | null> {
  const db = await openUpstream(place, 'verifiermain')
  if (db === null) return null
  return {
    agents: () => byAgent(db, 'verifiermain'),
    async *policies(kind) {
      const { table, column } = TABLES[kind]
      if (!(await hasTable(db, table, SCHEMA))) return
      const { rows: ids } = await sql<{ id: number }>`select id from ${sql.table(table)} order by id`.execute(db)
      for (const { id } of ids) {
        const { rows } = await sql<{
          name: unknown
          text: unknown
        }>`select name, ${sql.ref(column)} as text from ${sql.table(table)} where id = ${id}`.execute(db)
        if (rows[0]) yield { id: Number(id), name: String(rows[0].name ?? ''), text: String(rows[0].text ?? '') }
      }
    },
    close: () => db.destroy(),
  }
}

/** Rows of upstream's registrar, as they are. */
export interface UpstreamRegistrar {
  registrations(): AsyncGenerator<Readonly<Record<string, unknown>>>
  close(): Promise<void>
}

/** Opens a database to read it, and changes nothing. @returns null for one that is not upstream's. */
export async function openUpstreamRegistrar(place: DatabasePlace): Promise<UpstreamRegistrar | null> {
  const db = await openUpstream(place, 'registrarmain')
  if (db === null) return null
  return { registrations: () => byAgent(db, 'registrarmain'), close: () => db.destroy() }
}

/** @returns null for a database that has not got this table. That it may not be read says nothing of whose it is. */
async function openUpstream(place: DatabasePlace, table: string): Promise<Kysely<unknown> | null> {
  const db = await openToRead(place, SCHEMA)
  try {
    if (await tableIsIn(db, { table, schema: SCHEMA }, nameOfPlace(place))) return db
  } catch (error) {
    await db.destroy()
    throw error
  }
  await db.destroy()
  return null
}

async function* byAgent(db: Kysely<unknown>, table: string): AsyncGenerator<Readonly<Record<string, unknown>>> {
  for (let after = ''; ; ) {
    const { rows } = await sql<{
      agent_id: string
    }>`select * from ${sql.table(table)} where agent_id > ${after} order by agent_id limit ${PAGE}`.execute(db)
    yield* rows
    if (rows.length < PAGE) return
    after = rows.at(-1)!.agent_id
  }
}
