import fs from 'node:fs'
import path from 'node:path'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { servicePassword } from '../../../src/authority/service-password.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, testLogger, until } from '../../servers.ts'
import { SharedBed, type Side } from '../../shared-bed.ts'

const bed = new SharedBed()
const IDS = ['a', 'b', 'c', 'd']
const [left, right] = [() => bed.sides[0]!, () => bed.sides[1]!]
/** What each machine was told of authorities: whether the one before counts still. */
const told = new Map<string, boolean[]>(IDS.map((id) => [id, []]))

beforeAll(async () => {
  await bed.start(1)
  for (const id of IDS) {
    const machine = await bed.machine(id)
    machine.answer.set('/notifications/authority', (_query, _honest, body) => {
      told.get(id)!.push((body as { bridge: string | null }).bridge !== null)
      return { status: 200, body: '{"code":200,"status":"Success","results":{}}' }
    })
    await bed.add(id, left())
  }
  await bed.start(2)
  await until('shares', async () => String(await bed.shares()) === '2,2', 20)
})
afterAll(() => bed.stop())

const hasFollowed = async () =>
  (await bed.server.query<{ n: string }>('select count(*) as n from keylime_verifier.authority_followers'))[0]!.n

/** What the end of a rotation removes has to go there, too. */
const copyAuthority = async (to: Side) => {
  const [from, place] = [left(), to].map(({ home }) => path.join(home.dir, 'cv_ca')) as [string, string]
  for (const file of fs.readdirSync(place))
    if (!fs.existsSync(path.join(from, file))) fs.rmSync(path.join(place, file), { recursive: true })
  fs.cpSync(from, place, { recursive: true })
  await to.verifier.reload()
}

test('an authority that is rotated on one host is known to machines of another when it is copied there, and the old one does not end before', async () => {
  const { ca } = loadVerifierSettings(left().home.env)
  const directory = path.join(left().home.dir, 'cv_ca')
  const access = { directory, password: await servicePassword(directory, ca.password), settings: ca.settings, now: Date.now }
  await rotateAuthority(access)
  await left().verifier.reload()
  await until('half of them to follow', async () => (await hasFollowed()) === '2')
  const before = IDS.map((id) => bed.machines.get(id)!.quotes.length)
  await until('quotes of all', () => IDS.every((id, i) => bed.machines.get(id)!.quotes.length > before[i]! + 3))
  expect([await hasFollowed(), IDS.filter((id) => told.get(id)!.length > 0).length]).toEqual(['2', 2])
  const admin = adminClient(left().home.dir, left().verifier.port)
  const shown = (await admin.request('GET', '/v2.6/authorities')).results
  await admin.close()
  expect((shown as { behind: { agent_id: string }[] }).behind.map(({ agent_id }) => agent_id)).toEqual(
    IDS.filter((id) => told.get(id)!.length === 0),
  )
  await copyAuthority(right())
  await until('all of them to follow', async () => (await hasFollowed()) === '4')
  await finishRotation(access, { force: true })
  await left().verifier.reload()
  await copyAuthority(right())
  await until('the end of the one before', () => IDS.every((id) => told.get(id)!.includes(false)))
})

test('a verifier of an earlier version goes on where a newer one has changed the database, and does not start again', async () => {
  await bed.server.query('alter table keylime_verifier.agents add column newer text')
  await bed.server.query("update keylime_verifier.keylime_schema set version = version + 1 where name = 'verifier'")
  for (const side of bed.sides) {
    await side.admin.close()
    side.admin = adminClient(side.home.dir, side.verifier.port)
  }
  const before = IDS.map((id) => bed.machines.get(id)!.quotes.length)
  await until('quotes of all', () => IDS.every((id, i) => bed.machines.get(id)!.quotes.length > before[i]! + 3))
  expect((await right().admin.request('PUT', '/v2.6/agents/a/stop', { body: {} })).status).toBe(200)
  await right().admin.close()
  await right().verifier.stop()
  await expect(startVerifier(loadVerifierSettings(right().home.env), testLogger('verifier'))).rejects.toMatchObject({
    code: 'database_failed',
    hint: expect.stringContaining('newer keylime'),
  })
  await until('all at one', async () => String(await bed.shares()) === '4', 20)
  await bed.server.query("update keylime_verifier.keylime_schema set version = version - 1 where name = 'verifier'")
  right().verifier = await startVerifier(loadVerifierSettings(right().home.env), testLogger('verifier'))
  right().admin = adminClient(right().home.dir, right().verifier.port)
})
