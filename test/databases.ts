import type { Kysely } from 'kysely'
import type { Migration } from '../src/io/db/migrate.ts'
import { openDatabase } from '../src/io/db/open-database.ts'
import { startPostgres, type TestPostgres } from './postgres.ts'

/** For `describe.each`: what is stored must be the same in both. */
export const DATABASES = ['SQLite', 'PostgreSQL'] as const
export type DatabaseName = (typeof DATABASES)[number]

/** Fresh databases of both kinds; the server is started for the first that needs it, and stopped behind the last test of the file. */
export function testDatabases() {
  let server: Promise<TestPostgres> | null = null
  const open = new Set<Kysely<never>>()
  let count = 0
  afterAll(async () => {
    for (const db of open) await db.destroy()
    await (await server)?.remove()
  })
  return {
    async open<Tables = unknown>(kind: DatabaseName, role: string, migrations: readonly Migration[]): Promise<Kysely<Tables>> {
      if (kind === 'SQLite') return openDatabase<Tables>(':memory:', role, migrations)
      server ??= startPostgres()
      const db = await openDatabase<Tables>({ ...(await server).place(), poolSize: 4 }, `${role}_${++count}`, migrations)
      open.add(db as never)
      return db
    },
  }
}
