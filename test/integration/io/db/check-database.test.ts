import { checkDatabase } from '../../../../src/io/db/check-database.ts'
import { openPostgres } from '../../../../src/io/db/open-postgres.ts'
import type { PostgresPlace } from '../../../../src/io/db/postgres-pool.ts'
import { startPostgres, type TestPostgres } from '../../../postgres.ts'

let server: TestPostgres
beforeAll(async () => {
  server = await startPostgres()
  await server.query('create role poor login')
})
afterAll(() => server.remove())

const check = (place: PostgresPlace, role: 'verifier' | 'registrar') => checkDatabase(place, { keylimeDir: '/nowhere', role, newest: 1 })
const schemas = () => server.query("select nspname from pg_namespace where nspname like 'keylime%' order by nspname")

test.each(['verifier', 'registrar'] as const)('--check-config of a %s says what its start says: the data were moved', async (role) => {
  const schema = `keylime_${role}`
  await server.query(`create schema ${schema}_moved_20261130t120000z`)
  await server.query(`comment on schema ${schema}_moved_20261130t120000z is 'moved to elsewhere'`)
  const before = await schemas()
  const told = { code: 'conflict', message: expect.stringMatching(/data were moved to elsewhere, and are no longer in /) }
  await expect(check(server.place(), role)).rejects.toMatchObject(told)
  await expect(openPostgres(server.place(), schema)).rejects.toMatchObject(told)
  expect(await schemas()).toEqual(before)
  await server.query(`alter schema ${schema}_moved_20261130t120000z rename to ${schema}`)
  await check(server.place(), role)
  await server.query(`drop schema ${schema}`)
})

test('--check-config says what a start says of a user who may not make the schema, and nothing once it is there', async () => {
  const place = server.place()
  const poor = { ...place, server: { ...place.server, user: 'poor' } }
  const told = { code: 'database_failed', message: expect.stringMatching(/permission denied for database keylime$/) }
  await expect(check(poor, 'verifier')).rejects.toMatchObject({
    ...told,
    hint: expect.stringContaining('grant create on database keylime'),
  })
  await expect(openPostgres(poor, 'keylime_verifier')).rejects.toMatchObject(told)
  expect(await schemas()).toEqual([])
  await check(place, 'verifier')
  await server.query('create schema keylime_verifier authorization poor')
  await check(poor, 'verifier')
})
