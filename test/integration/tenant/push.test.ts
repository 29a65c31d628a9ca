import fs from 'node:fs'
import { machineJson } from '../../../src/roles/tenant/list/render-machines.ts'
import { statusLines } from '../../../src/roles/tenant/list/status-lines.ts'
import { until } from '../../servers.ts'
import { type SimulatedPushAgent, simulatedPushAgent } from '../../simulated-push-agent.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
beforeAll(() => world.start())
afterEach(() => world.retire())
afterAll(() => world.stop())

/** A machine that is registered without an address, and speaks to nobody but the verifier. */
async function behindNat(id: string): Promise<SimulatedPushAgent> {
  const { ak } = await world.machine(id, { ip: null, port: null, mtls_cert: null })
  const ca = fs.readFileSync(world.path('cv_ca/cacert.crt'), 'utf8')
  const agent = simulatedPushAgent(id, () => ({ port: world.verifier.port, ca }))
  agent.ak = ak
  return agent
}

const statusOf = async (agentId: string) => {
  const result = await world.run('status', { agentId })
  if (result.type !== 'status') throw new Error(result.type)
  return result
}

test('a machine without an address is enrolled with --push-model, brings its evidence, and is shown for what it is', async () => {
  const agent = await behindNat('nat')
  await world.run('add', { agentId: 'nat', pushModel: true })
  expect(world.happened()).toEqual(['agent_found', 'ek_verified', 'enrolled'])
  const before = statusLines(await statusOf('nat'), Date.now()).join('\n')
  expect(before).toMatch(/comes by +push: it brings its evidence by itself/)
  expect(before).toMatch(/last seen +never/)
  await agent.attest()
  await until('a verdict', async () => (await statusOf('nat')).status?.attestation_count === 1)
  expect(statusLines(await statusOf('nat'), Date.now()).join('\n')).toMatch(/last seen +(now|\d+ s ago|just now)/)
  const list = await world.run('list')
  const found = list.type === 'machines' ? list.machines.find(({ agentId }) => agentId === 'nat') : undefined
  expect(machineJson(found!)).toMatchObject({ comes_by: 'push', address: null, last_seen: expect.any(String) })
})

test('without --push-model the refusal says how such a machine is enrolled', async () => {
  await behindNat('no-words')
  await expect(world.run('add', { agentId: 'no-words' })).rejects.toMatchObject({
    code: 'usage',
    hint: expect.stringContaining('--push-model'),
  })
})

test('an update keeps the way in which a machine comes, until it is given the other one', async () => {
  const asked = await world.machine('both-ways')
  await world.run('add', { agentId: 'both-ways' })
  expect((await statusOf('both-ways')).status).toMatchObject({ comes_by: 'pull' })
  await world.run('update', { agentId: 'both-ways', pushModel: true })
  expect((await statusOf('both-ways')).status).toMatchObject({ comes_by: 'push', ip: null, port: null })
  const quotes = asked.quotes.length
  await world.run('update', { agentId: 'both-ways', name: 'a name' })
  expect((await statusOf('both-ways')).status).toMatchObject({ comes_by: 'push' })
  expect(asked.quotes).toHaveLength(quotes) // nobody has contacted it
  await world.run('update', { agentId: 'both-ways', targetHost: '127.0.0.1' })
  expect((await statusOf('both-ways')).status).toMatchObject({ comes_by: 'pull', ip: '127.0.0.1', port: asked.port })
})

test('explain says of a machine that came no more since when it is silent', async () => {
  const agent = await behindNat('gone')
  await world.run('add', { agentId: 'gone', pushModel: true })
  await agent.attest()
  await until('silence', async () => (await statusOf('gone')).status?.operational_state === 7)
  await expect(world.run('explain', { agentId: 'gone' })).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringMatching(/has brought no evidence since \d{4}-/),
  })
})
