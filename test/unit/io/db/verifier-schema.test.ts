import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Kysely, sql } from 'kysely'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { policyStore } from '../../../../src/io/db/policy-store.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'
import { verifierStore } from '../../../../src/io/db/verifier-store.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-schema-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))
const ENROLMENT = {
  ip: 'h',
  port: 1,
  tpmPolicy: '{}',
  metaData: '{}',
  revocationKey: '',
  accepted: { hash: [], encryption: [], signing: [] },
  ak: '',
  mtlsCertificate: null,
}

/** A database as the release before had it: four steps of the schema. */
async function oldDatabase(file: string): Promise<void> {
  const db = await openDatabase<unknown>(file, 'verifier', VERIFIER_MIGRATIONS.slice(0, 4))
  const body = (digest: string, text: string) => sql`insert into policy_bodies(digest, body) values(${digest}, ${text})`.execute(db)
  await body('d1', `${'x'.repeat(3 << 20)}é`)
  await body('d2', 'two')
  for (const [kind, name, digest] of [
    ['runtime', 'own', 'd1'],
    ['runtime', 'shared', 'd1'],
    ['runtime', 'fleet', 'd2'],
    ['mb', 'fleet', 'd2'],
  ])
    await sql`insert into policies values(${kind}, ${name}, ${digest})`.execute(db)
  await agent(db, 'own', { runtimePolicy: 'own', mbPolicy: null }, 3)
  await agent(db, 'shared', { runtimePolicy: 'shared', mbPolicy: 'fleet' }, 7, '[{"eventId":"internal.verifier.not_reachable"}]')
  await agent(db, 'user', { runtimePolicy: 'shared', mbPolicy: null }, 9)
  await agent(db, 'orphan', { runtimePolicy: 'gone', mbPolicy: null }, 1)
  await sql`update agents set enrolment = 'torn' where agent_id = 'torn'`.execute(db)
  await agent(db, 'torn', { runtimePolicy: null, mbPolicy: null }, 3)
  await sql`update agents set enrolment = 'torn' where agent_id = 'torn'`.execute(db)
  await db.destroy()
}

async function agent(db: Kysely<unknown>, id: string, policies: object, state: number, failures = '[]'): Promise<void> {
  const enrolment = JSON.stringify({ ...ENROLMENT, ...policies, agentId: id, verifierId: 'v' })
  await sql`insert into agents(agent_id, verifier_id, enrolment, operational_state, failures, v_state, supported_version)
    values(${id}, 'v', ${enrolment}, ${state}, ${failures}, 'none', '2.6')`.execute(db)
  await sql`insert into progress(agent_id, attestation_count, last_received, last_successful) values(${id}, 5, 0, 0)`.execute(db)
}

test('a database of the release before is taken over: policies get owners and users, bodies move into pieces, nobody is forgotten', async () => {
  const file = path.join(dir, 'old.sqlite')
  await oldDatabase(file)
  const db = await openDatabase<unknown>(file, 'verifier', VERIFIER_MIGRATIONS)
  const [store, policies] = [verifierStore(db, 1 << 20), policyStore(db)]
  const records = await store.page('', 10)
  expect(records.map((r) => [r.agentId, 'agent' in r ? [r.agent.enrolment.runtimePolicy, r.agent.state.polled] : 'unreadable'])).toEqual([
    ['orphan', ['gone', true]],
    ['own', ['agent:own', true]],
    ['shared', ['agent:shared', true]],
    ['torn', 'unreadable'],
    ['user', ['shared', false]],
  ])
  expect(await policies.list('runtime', true)).toEqual(['agent:own', 'agent:shared', 'fleet', 'shared'])
  expect(await policies.list('runtime')).toEqual(['fleet', 'shared'])
  expect((await policies.body('d1'))?.toString()).toBe(`${'x'.repeat(3 << 20)}é`)
  expect(await store.users('runtime', 'shared')).toEqual(['user'])
  await expect(policies.delete('runtime', 'shared')).rejects.toMatchObject({ code: 'conflict' })
  expect(await store.delete('shared')).toBe(true)
  expect(await store.delete('own')).toBe(true)
  expect(await policies.list('runtime', true)).toEqual(['fleet', 'shared'])
  expect(await store.delete('torn')).toBe(true)
  await db.destroy()
})

test('pieces that a crash left behind without a name are swept away; those of a body that has one stay', async () => {
  const db = await openDatabase<unknown>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const policies = policyStore(db)
  const body = { digest: 'kept', bytes: Buffer.alloc((2 << 20) + 5, 'k') }
  await policies.put('mb', 'kept', { body, must: 'create' })
  await sql`insert into policy_pieces values('lost', 0, 'x')`.execute(db)
  await sql`insert into policy_bodies values('nameless', 1)`.execute(db)
  await policies.sweep()
  const { rows } = await sql<{ n: number }>`select count(*) as n from policy_pieces`.execute(db)
  expect(rows[0]!.n).toBe(3)
  expect(await policies.body('kept')).toEqual(body.bytes)
  expect(await policies.body('nameless')).toBeNull()
  expect(await policies.body('lost')).toBeNull()
  await db.destroy()
})

test('a body that is being stored is not swept before it has its name', async () => {
  const db = await openDatabase<unknown>(':memory:', 'verifier', VERIFIER_MIGRATIONS)
  const policies = policyStore(db)
  await policies.withBodies([{ digest: 'staged', bytes: Buffer.from('staged') }], async () => {
    await policies.sweep()
    expect((await policies.body('staged'))?.toString()).toBe('staged')
  })
  await policies.sweep()
  expect(await policies.body('staged')).toBeNull()
  await db.destroy()
})
