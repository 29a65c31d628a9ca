import net from 'node:net'
import path from 'node:path'
import { checkDatabase } from '../../../../src/io/db/check-database.ts'
import { openPostgres } from '../../../../src/io/db/open-postgres.ts'
import { openToRead } from '../../../../src/io/db/open-to-read.ts'
import type { PostgresPlace } from '../../../../src/io/db/postgres-pool.ts'
import { openRegistrarDatabase } from '../../../../src/io/db/registrar-database.ts'
import { REGISTRAR_MIGRATIONS } from '../../../../src/io/db/registrar-schema.ts'
import { openVerifierDatabase } from '../../../../src/io/db/verifier-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
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
  const told = {
    ...{ code: 'conflict', message: expect.stringMatching(/data were moved to elsewhere, and are no longer in /) },
    hint: expect.stringMatching(/to where they are. Only if they are lost there: "alter schema .* rename to /),
  }
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

test('a database that this user may not look into is told as that by a backup and a migration, and not as none', async () => {
  await server.query('create schema keylime_hidden')
  const poor = { ...server.place(), server: { ...server.place().server, user: 'poor' } }
  const told = {
    code: 'database_failed',
    message: expect.stringMatching(/refuses this user: permission denied for schema keylime_hidden$/),
  }
  await expect(openToRead(poor, 'keylime_hidden')).rejects.toMatchObject(told)
  await (await openToRead(server.place(), 'keylime_hidden')).destroy()
  await (await openToRead(poor, 'keylime_nothing')).destroy()
  await server.query('drop schema keylime_hidden')
})

test('a server that takes connections and says nothing, as a frozen one, is told as that', async () => {
  const frozen = net.createServer(() => {})
  await new Promise<void>((done) => frozen.listen(0, '127.0.0.1', done))
  const place = server.place('?connect_timeout=1')
  const there = { ...place, server: { ...place.server, port: (frozen.address() as net.AddressInfo).port } }
  await expect(check(there, 'verifier')).rejects.toMatchObject({
    ...{ code: 'unavailable', message: expect.stringMatching(/cannot be used now: it did not answer in time$/) },
    hint: expect.stringContaining('check that the server runs'),
  })
  frozen.close()
})

/** Gives all of a kind to a role that others belong to. */
const ownedByFamily = (schema: string, kind: 'table' | 'function') => {
  const names = {
    table: 'select tablename::text as name from pg_tables where schemaname',
    function: 'select oid::regprocedure::text as name from pg_proc where pronamespace::regnamespace::text',
  }
  return `do $$ declare one record; begin for one in ${names[kind]} = '${schema}' loop
    execute 'alter ${kind} ${kind === 'table' ? `${schema}.` : ''}' || one.name || ' owner to family'; end loop; end $$`
}

/** What `--check-config` says, and what a start does: the code, or `can be used`. */
async function bothSay(place: PostgresPlace, role: 'verifier' | 'registrar'): Promise<string[]> {
  const newest = role === 'verifier' ? VERIFIER_MIGRATIONS.length : REGISTRAR_MIGRATIONS.length
  const start = async () => {
    if (role === 'registrar') return (await openRegistrarDatabase(place, path.join(server.directory, 'mark'))).close()
    return (await openVerifierDatabase({ place, marked: path.join(server.directory, 'mark'), name: 'v' })).close()
  }
  const said = (work: Promise<void>) =>
    work.then(
      () => 'can be used',
      (error) => `${error.code}`,
    )
  return [await said(checkDatabase(place, { keylimeDir: '/nowhere', role, newest })), await said(start())]
}

test.each(['verifier', 'registrar'] as const)(
  '--check-config of a %s says what its start says of tables that another user has made',
  async (role) => {
    const schema = `keylime_${role}`
    await server.query(`drop schema if exists ${schema} cascade`)
    expect(await bothSay(server.place(), role)).toEqual(['can be used', 'can be used'])
    const poor = { ...server.place(), server: { ...server.place().server, user: 'poor' } }
    const refused = ['database_failed', 'database_failed']
    const all = `all tables in schema ${schema}`
    expect(await bothSay(poor, role)).toEqual(refused)
    for (const rights of [`usage on schema ${schema}`, `select on ${all}`, `create on schema ${schema}`, `all on ${all}`]) {
      await server.query(`grant ${rights} to poor`)
      expect(await bothSay(poor, role)).toEqual(refused)
    }
    await server.query(`create role family; grant family to poor; grant create on database keylime to family`)
    await server.query(ownedByFamily(schema, 'table'))
    expect(await bothSay(poor, role)).toEqual(refused)
    await server.query(ownedByFamily(schema, 'function'))
    expect(await bothSay(poor, role)).toEqual(['can be used', 'can be used'])
    await server.query(`drop schema ${schema} cascade; drop owned by family; drop role family`)
  },
)
