import fs from 'node:fs'
import { walk } from '../../thorough.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
const RUNTIME_POLICY = JSON.stringify({
  meta: { version: 1, generator: 0 },
  release: 0,
  digests: { '/bin/true': ['aa'.repeat(32)] },
  excludes: [],
  keyrings: {},
  ima: { ignored_keyrings: [], log_hash_alg: 'sha256', dm_policy: null },
  'ima-buf': {},
  'verification-keys': '',
})
const zero = '0'.repeat(64)
const pcr = (number: number) => JSON.stringify({ [number]: [zero] })

beforeAll(() => world.start())
afterEach(() => world.retire())
afterAll(() => world.stop())

// biome-ignore lint/suspicious/noExplicitAny: the status object as it came
async function status(agentId: string): Promise<any> {
  const result = await world.run('cvstatus', { agentId })
  return result.type === 'status' ? result.status : undefined
}
const changes = () => world.events.flatMap((event) => (event.type === 'change' ? [`${event.what}: ${event.from} → ${event.to}`] : []))

/** An agent with a certificate, static PCRs and a measured boot policy. */
async function enrolled(id: string) {
  const agent = await world.machine(id)
  await world.run('add', { agentId: id, cert: 'default', tpmPolicy: pcr(23), runtimePolicyName: 'open', wait: false })
  return agent
}

beforeAll(async () => {
  await world.run('addruntimepolicy', { runtimePolicyName: 'open', runtimePolicy: world.file('open.json', RUNTIME_POLICY) })
})

describe('an update keeps what it does not name', () => {
  test('a new payload leaves policies, certificate and notifier key as they are', async () => {
    const agent = await enrolled('keeps')
    const before = await status('keeps')
    await world.run('update', { agentId: 'keeps', file: world.file('s', 'new secret'), wait: false })
    expect(changes()).toEqual([])
    const { tpm_policy, runtime_policy_name, meta_data, has_runtime_policy } = await status('keeps')
    expect({ tpm_policy, runtime_policy_name, meta_data, has_runtime_policy }).toEqual({
      tpm_policy: before.tpm_policy,
      runtime_policy_name: 'open',
      meta_data: before.meta_data,
      has_runtime_policy: before.has_runtime_policy,
    })
    expect(JSON.parse(meta_data).cert_serial).toBeGreaterThan(0)
    expect(agent.userKeys).toHaveLength(2)
  })

  test('a new static policy leaves the runtime policy, and what changes is told', async () => {
    await enrolled('told')
    await world.run('update', { agentId: 'told', tpmPolicy: JSON.stringify({ 22: [zero], 23: [zero, 'f'.repeat(64)] }), wait: false })
    expect(changes()).toEqual(['PCR 22: any value → 000000000000…', 'PCR 23: 000000000000… → 2 values'])
    expect(await status('told')).toMatchObject({ runtime_policy_name: 'open' })
  })

  test('an update that names nothing new changes nothing, and says so', async () => {
    const agent = await world.machine('idle')
    const tpmPolicy = JSON.stringify({ 22: [zero] })
    await world.run('add', { agentId: 'idle', tpmPolicy, file: world.file('s', 'secret') })
    const { attestation_count: _before, last_received_quote: _quote, last_successful_attestation: _last, ...before } = await status('idle')
    for (const options of [{}, { tpmPolicy }, { targetHost: '127.0.0.1', targetPort: agent.port }, { cvTargetHost: '127.0.0.1' }])
      expect(await world.run('update', { agentId: 'idle', ...options })).toMatchObject({
        type: 'done',
        summary: 'agent idle stays as it is: the update changes nothing',
      })
    expect(world.happened()).not.toContain('enrolled')
    expect(agent.userKeys).toHaveLength(1)
    expect(await status('idle')).toMatchObject(before)
  })

  test('an update that names nothing takes what the configuration says anew, and what a machine that failed registered', async () => {
    const agent = await world.machine('stirred')
    await world.run('add', { agentId: 'stirred' })
    await world.run('update', { agentId: 'stirred', wait: false }, { KEYLIME_TENANT_ACCEPT_TPM_HASH_ALGS: "['sha256']" })
    expect(await status('stirred')).toMatchObject({ accept_tpm_hash_algs: ['sha256'] })
    await world.run('update', { agentId: 'stirred', tpmPolicy: JSON.stringify({ 16: [zero] }) }).catch(() => undefined)
    agent.pcrs.set(22, Buffer.alloc(32, 1))
    await expect(world.run('update', { agentId: 'stirred', tpmPolicy: JSON.stringify({ 22: [zero] }) })).rejects.toMatchObject({
      code: 'attestation_failed',
    })
    agent.pcrs.delete(22)
    expect(await world.run('update', { agentId: 'stirred' })).toMatchObject({ summary: 'agent stirred is trusted' })
  })

  test('the address that the verifier has stays too, and another at the registrar is told', async () => {
    const agent = await world.machine('moved', { ip: '127.0.0.1' })
    await world.run('add', { agentId: 'moved', cvTargetHost: 'localhost' })
    await world.run('update', { agentId: 'moved' })
    expect(world.events).toContainEqual({ type: 'warning', text: expect.stringContaining('--cv_targethost 127.0.0.1') })
    expect(await status('moved')).toMatchObject({ ip: 'localhost', port: agent.port })
  })
})

describe('an update takes no protection away unless told so', () => {
  test('a PCR that a new static policy leaves out', async () => {
    const agent = await enrolled('lowered')
    const update = { agentId: 'lowered', tpmPolicy: pcr(22), file: world.file('s', 's') }
    await expect(world.run('update', update)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('PCR 23: 000000000000… → any value'),
      hint: expect.stringContaining('--drop tpm-policy'),
    })
    expect(agent.userKeys).toHaveLength(1)
    expect(JSON.parse((await status('lowered')).tpm_policy)).toHaveProperty('23')
    await world.run('update', { ...update, drop: ['tpm-policy'], wait: false })
    expect(JSON.parse((await status('lowered')).tpm_policy)).not.toHaveProperty('23')
  })

  test('--drop takes away what it names and nothing else', async () => {
    await enrolled('dropped')
    await world.run('update', { agentId: 'dropped', drop: ['runtime-policy', 'certificate'], wait: false })
    expect(changes()).toEqual(['runtime policy: open → none', expect.stringMatching(/^certificate to revoke: serial \d+ → none$/)])
    expect(await status('dropped')).toMatchObject({ has_runtime_policy: 0, runtime_policy_name: null, meta_data: '{}' })
    expect(JSON.parse((await status('dropped')).tpm_policy)).toHaveProperty('23')
  })

  walk('upstream’s face replaces all of it, as upstream does, and warns of what is lost', async () => {
    await enrolled('replaced')
    await world.run('update', { agentId: 'replaced', replaces: true, wait: false })
    expect(world.events).toContainEqual({
      type: 'warning',
      text: expect.stringContaining('runtime policy: open → none: this update does not name it'),
    })
    expect(await status('replaced')).toMatchObject({ has_runtime_policy: 0 })
  })
})

describe('nothing leaves before the verifier said that it would take it', () => {
  const slips: [string, object, string][] = [
    ['a policy that is not there', { runtimePolicyName: 'opne' }, 'policy_not_found'],
    ['a name that is taken', { runtimePolicyName: 'open', runtimePolicy: 'open.json' }, 'conflict'],
    ['a policy that cannot be judged by', { runtimePolicy: 'faulty.json' }, 'invalid_request'],
    ['an address that is none', { cvTargetHost: '127.0.0.1:9002' }, 'usage'],
  ]
  test.each(slips)('%s: nobody got anything, and the machine stays as it was', async (what, slip, code) => {
    world.file('faulty.json', '{"meta": {"version": 1}, "digests": {"/x": ["no digest"]}}')
    world.file('open.json', RUNTIME_POLICY)
    const options = Object.fromEntries(Object.entries(slip).map(([k, v]) => [k, String(v).endsWith('.json') ? world.path(v) : v]))
    const id = what.replaceAll(' ', '-')
    const agent = await world.machine(id)
    const secret = world.file('s', 's')
    await expect(world.run('add', { agentId: id, file: secret, ...options })).rejects.toMatchObject({ code, hint: expect.any(String) })
    expect(await status(id)).toBeUndefined()
    await world.run('add', { agentId: id, file: secret })
    const before = await status(id)
    const sent = agent.userKeys.length
    await expect(world.run('update', { agentId: id, file: secret, ...options })).rejects.toMatchObject({ code })
    expect(agent.userKeys).toHaveLength(sent)
    expect(await status(id)).toMatchObject({ tpm_policy: before.tpm_policy, ip: before.ip, v_released: true })
  })

  test('no certificate is issued for it either', async () => {
    await world.machine('uncertified')
    await expect(world.run('add', { agentId: 'uncertified', cert: 'default', runtimePolicyName: 'none' })).rejects.toMatchObject({
      code: 'policy_not_found',
    })
    expect(fs.existsSync(world.path('ca', 'uncertified-cert.crt'))).toBe(false)
  })
})

test('a verdict without any policy says so, and reactivate waits for it', async () => {
  await world.machine('open-to-all')
  expect(await world.run('add', { agentId: 'open-to-all' })).toMatchObject({
    summary: 'agent open-to-all is attested (no policy: any state is accepted)',
  })
  expect(await world.run('reactivate', { agentId: 'open-to-all' })).toMatchObject({
    summary: 'agent open-to-all is attested again (no policy: any state is accepted)',
  })
  expect(world.happened()).toEqual(['reactivated', 'attested'])
})
