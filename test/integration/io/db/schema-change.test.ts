import { type Kysely, sql } from 'kysely'
import { openPostgres } from '../../../../src/io/db/open-postgres.ts'
import { seamOf } from '../../../../src/io/db/seam.ts'
import { startPostgres, type TestPostgres } from '../../../postgres.ts'
import { walk } from '../../../thorough.ts'

let server: TestPostgres
let db: Kysely<unknown>
beforeAll(async () => {
  server = await startPostgres()
  db = await openPostgres({ ...server.place(), poolSize: 1 }, 'keylime_verifier')
})
afterAll(async () => {
  await db.destroy()
  await server.remove()
})
const alone = (words: string) => seamOf(db).alone(db, async (connection) => void (await sql.raw(words).execute(connection)))
const limit = async () => (await sql<{ statement_timeout: string }>`show statement_timeout`.execute(db)).rows[0]!.statement_timeout

walk('a change of the schema may take longer than any other statement: an index of a fleet’s notices does', async () => {
  await alone('select pg_sleep(13)')
  expect(await limit()).toBe('10s')
})

test('what ended a change of the schema is told, and the next one has a connection with its limits', async () => {
  await expect(alone('select pg_terminate_backend(pg_backend_pid())')).rejects.toThrow(
    'terminating connection due to administrator command',
  )
  await expect(alone('select nonsense')).rejects.toThrow('column "nonsense" does not exist')
  expect(await limit()).toBe('10s')
  await alone('select 1')
  expect(await server.query("select 1 from pg_locks where locktype = 'advisory'")).toEqual([])
})
