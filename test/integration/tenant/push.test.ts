import fs from 'node:fs'
import { chooseMachines } from '../../../src/roles/tenant/fleet/choose-machines.ts'
import { NO_RESUME } from '../../../src/roles/tenant/fleet/resume-file.ts'
import { runFleet } from '../../../src/roles/tenant/fleet/run-fleet.ts'
import type { FleetWord, Selection } from '../../../src/roles/tenant/fleet/selection.ts'
import { machineJson } from '../../../src/roles/tenant/list/render-machines.ts'
import { statusLines } from '../../../src/roles/tenant/list/status-lines.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import type { TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { until } from '../../servers.ts'
import { type SimulatedPushAgent, simulatedPushAgent } from '../../simulated-push-agent.ts'
import { walk } from '../../thorough.ts'
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
  await world.run('update', { agentId: 'nat', name: 'behind the door' })
  expect((await statusOf('nat')).status?.last_received_quote).toBeGreaterThan(0) // an update makes no machine unseen
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

walk('explain says of a machine that came no more since when it is silent', async () => {
  const agent = await behindNat('gone')
  await world.run('add', { agentId: 'gone', pushModel: true })
  await agent.attest()
  await until('silence', async () => (await statusOf('gone')).status?.operational_state === 7)
  await expect(world.run('explain', { agentId: 'gone' })).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringMatching(/has brought no evidence since \d{4}-/),
  })
})

describe('payloads and what is done day by day', () => {
  const waits = async (agentId: string) => {
    const { status } = await statusOf(agentId)
    return { comesBy: status?.comes_by, generation: status?.delivery?.generation, sealed: status?.delivery?.report }
  }
  const secret = () => world.file('secret.txt', 'a secret')
  /** Registers as another that it was, as soon as the way is free. */
  async function registersAgain(from: string, to: string, changes: Record<string, unknown> = {}): Promise<void> {
    const before = world.registered.get(from)!
    await until('the way to be free', () => !world.registered.has(from))
    world.registered.set(to, { ...before, agent_id: to, ...changes })
  }

  test('a payload is left for it, fetched with its token, and shown until it has said what it did', async () => {
    const agent = await behindNat('given')
    await world.run('add', { agentId: 'given', pushModel: true, file: secret(), wait: false, counts: true })
    expect(statusLines(await statusOf('given'), Date.now()).join('\n')).toMatch(
      /payload +delivery 1: waits at the verifier until the machine comes and is good \(ordered \d+ s ago\)/,
    )
    const list = await world.run('list')
    expect(list.type === 'machines' && list.machines.find(({ agentId }) => agentId === 'given')?.payload).toMatchObject({
      state: 'waiting',
    })
    await agent.authenticate()
    expect(JSON.parse((await agent.mailbox()).order)).toMatchObject({ agent_id: 'given' })
  })

  test('a new secret for all of them, without waiting for anybody', async () => {
    for (const id of ['fleet-1', 'fleet-2']) {
      await behindNat(id)
      await world.run('add', { agentId: id, pushModel: true })
    }
    const selection = { ids: ['fleet-1', 'fleet-2'], hosts: [], all: false, policy: undefined, state: undefined, from: undefined }
    const outcomes = await fleet('update', selection, { file: secret(), wait: false })
    expect(outcomes.map(({ result, text }) => [result, text])).toEqual([
      ['done', expect.stringMatching(/gets its payload when it comes/)],
      ['done', expect.stringMatching(/gets its payload when it comes/)],
    ])
    for (const id of ['fleet-1', 'fleet-2'])
      expect(await waits(id)).toMatchObject({ comesBy: 'push', generation: expect.any(Number), sealed: null })
  })

  test('a list says which machines come by themselves', async () => {
    await behindNat('listed-push')
    await world.machine('listed-pull')
    const from = world.file('machines.csv', 'id,push-model\nlisted-push,yes\nlisted-pull,false\n')
    const selection = { ids: [], hosts: [], all: false, policy: undefined, state: undefined, from }
    expect((await fleet('add', selection, { wait: false, file: secret() })).map(({ result }) => result)).toEqual(['done', 'done'])
    expect([(await waits('listed-push')).comesBy, (await waits('listed-pull')).comesBy]).toEqual(['push', 'pull'])
    const bad = world.file('bad.csv', 'id,push-model\nlisted-push,perhaps\n')
    await expect(fleet('update', { ...selection, from: bad })).rejects.toMatchObject({
      message: expect.stringMatching(/line 2 of .*push-model is true or false, not "perhaps"/),
    })
  })

  walk('a machine that takes its place comes as it did, and gets its payload sealed to the new TPM', async () => {
    await behindNat('replaced')
    await world.run('add', { agentId: 'replaced', pushModel: true, file: secret(), wait: false })
    const before = await waits('replaced')
    const other = await world.machine('other-tpm', { ip: '192.0.2.9', port: 9002, mtls_cert: null })
    const { aik_tpm, ek_tpm, ekcert, ip, port } = world.registered.get('other-tpm')!
    const replacing = world.run('replace', { agentId: 'replaced', exactId: true, file: secret(), timeoutSeconds: 3 })
    await registersAgain('replaced', 'replaced', { aik_tpm, ek_tpm, ekcert, ip, port })
    await expect(replacing).rejects.toMatchObject({ code: 'timeout' }) // it does not come in this test
    const after = await waits('replaced')
    expect([after.comesBy, after.generation! > before.generation!, other.quotes]).toEqual(['push', true, []])
  })

  test('under another id it comes as it did', async () => {
    await behindNat('old-id')
    await world.run('add', { agentId: 'old-id', pushModel: true })
    const renaming = world.run('rename', { agentId: 'old-id', exactId: true, newId: 'new-id' })
    await registersAgain('old-id', 'new-id')
    await renaming
    expect((await waits('new-id')).comesBy).toBe('push')
  })

  test('another system on the same TPM is not handed what lay there for the one before', async () => {
    await behindNat('anew')
    await world.run('add', { agentId: 'anew', pushModel: true, file: secret(), wait: false })
    const replacing = world.run('replace', { agentId: 'anew', exactId: true })
    await registersAgain('anew', 'anew')
    await replacing
    expect((await statusOf('anew')).status?.delivery ?? null).toBeNull()
  })
})

async function fleet(word: FleetWord, selection: Selection, options: Partial<TenantOptions> = {}) {
  const all = { command: word, wait: true, timeoutSeconds: 5, ...options }
  return withTenant({ options: all, settings: loadTenantSettings(world.home.env), report: () => undefined }, async (context) => {
    const machines = await chooseMachines(context, word, selection)
    const run = {
      word,
      machines,
      parallel: 2,
      dryRun: false,
      resume: NO_RESUME,
      stopped: new AbortController().signal,
      told: () => undefined,
    }
    return runFleet(context, run)
  })
}
