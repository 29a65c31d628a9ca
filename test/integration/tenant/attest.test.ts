import fs from 'node:fs'
import { adminClient, until } from '../../servers.ts'
import { simulatedPushAgent } from '../../simulated-push-agent.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
beforeAll(() => world.start())
afterAll(() => world.stop())

test('attest waits for a verdict that was not there before', async () => {
  await world.machine('asked')
  await world.run('add', { agentId: 'asked' })
  const before = await counted('asked')
  expect(await world.run('attest', { agentId: 'asked' })).toMatchObject({ type: 'done', summary: expect.stringContaining('new') })
  expect(await counted('asked')).toBeGreaterThan(before)
})

test('a machine that nobody can call is told when it comes; its next verdict is the answer', async () => {
  const { ak } = await world.machine('nat', { ip: null, port: null, mtls_cert: null })
  const ca = fs.readFileSync(world.path('cv_ca/cacert.crt'), 'utf8')
  const agent = simulatedPushAgent('nat', () => ({ port: world.verifier.port, ca }))
  agent.ak = ak
  await world.run('add', { agentId: 'nat', pushModel: true })
  await agent.attest()
  await until('a verdict', async () => (await counted('nat')) === 1)
  expect(await world.run('attest', { agentId: 'nat', wait: false })).toMatchObject({ summary: expect.stringContaining('comes next') })
  await agent.attest() // it was woken: before its interval is over
  const answer = world.run('attest', { agentId: 'nat' })
  const isTaken = () =>
    agent.attest().then(
      () => true,
      () => false,
    )
  await until('it to be woken again', isTaken)
  expect(await answer).toMatchObject({ type: 'done' })
})

test('one that was stopped is refused with the way out, and so is one that is not enrolled', async () => {
  await world.machine('stopped')
  await world.run('add', { agentId: 'stopped' })
  const admin = adminClient(world.home.dir, world.verifier.port)
  await admin.request('PUT', '/v2.6/agents/stopped/stop')
  await admin.close()
  await expect(world.run('attest', { agentId: 'stopped' })).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('reactivate'),
  })
  await world.machine('registered')
  await expect(world.run('attest', { agentId: 'registered' })).rejects.toMatchObject({ code: 'agent_not_found' })
})

async function counted(agentId: string): Promise<number> {
  const result = await world.run('cvstatus', { agentId })
  return result.type === 'status' ? (result.status?.attestation_count ?? 0) : 0
}
