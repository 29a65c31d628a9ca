import fs from 'node:fs'
import type { TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { oddRsaArea, softwareAk } from '../../software-ak.ts'
import { root } from '../../unit/core/pki/fixtures.ts'
import { ekCertificate, TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
beforeAll(() => world.start())
afterAll(() => world.stop())

const base64 = (bytes: Buffer) => bytes.toString('base64')
const foreignEk = async () => {
  const [ek, maker] = [softwareAk('ecc'), await root('Stranger', { notBefore: Date.now() - 1000, notAfter: Date.now() + 3_600_000 })]
  return { ek_tpm: base64(ek.public), ekcert: base64(ekCertificate(maker, ek).der) }
}
function script(name: string, status: number): string {
  fs.chmodSync(world.file(name, `#!/bin/sh\necho "$AGENT_UUID" >> ${world.path('asked')}\nexit ${status}\n`), 0o755)
  return world.path(name)
}

interface Bad {
  registered?: () => Promise<Record<string, unknown>> | Record<string, unknown>
  env?: () => Record<string, string>
  refusal: RegExp
  code: string
}
const BAD: Record<string, Bad> = {
  'no EK': { registered: () => ({ ek_tpm: null, ekcert: null }), refusal: /no EK of this agent/, code: 'ek_rejected' },
  'no EK certificate': { registered: () => ({ ekcert: null }), refusal: /no EK certificate/, code: 'ek_rejected' },
  'an EK of nobody known': { registered: foreignEk, refusal: /no certificate of its issuer/, code: 'ek_rejected' },
  'a certificate of another EK': {
    registered: () => ({ ek_tpm: base64(softwareAk('ecc').public) }),
    refusal: /another key than the EK/,
    code: 'ek_rejected',
  },
  'an EK that the script refuses': {
    env: () => ({ KEYLIME_TENANT_EK_CHECK_SCRIPT: script('no.sh', 7) }),
    refusal: /says no \(exit status 7\)/,
    code: 'ek_rejected',
  },
  'an EK that the script alone judges, and refuses': {
    registered: foreignEk,
    env: () => ({ KEYLIME_TENANT_REQUIRE_EK_CERT: 'False', KEYLIME_TENANT_EK_CHECK_SCRIPT: script('no.sh', 7) }),
    refusal: /says no/,
    code: 'ek_rejected',
  },
}
const BAD_AK: Record<string, Bad> = {
  'an AK that signs anything': {
    registered: () => ({ aik_tpm: base64(softwareAk('ecc', 0x00040072).public) }),
    refusal: /restricted is not set/,
    code: 'attestation_failed',
  },
  'a weak AK': { registered: () => ({ aik_tpm: base64(oddRsaArea({ bits: 1024 })) }), refusal: /1024 bits/, code: 'attestation_failed' },
  'an AK whose kind is not accepted': {
    env: () => ({ KEYLIME_TENANT_ACCEPT_TPM_ENCRYPTION_ALGS: 'rsa' }),
    refusal: /ecc256.*accept_tpm_encryption_algs/,
    code: 'attestation_failed',
  },
  'an AK whose hash is not accepted': {
    env: () => ({ KEYLIME_TENANT_ACCEPT_TPM_HASH_ALGS: 'sha512' }),
    refusal: /sha256.*accept_tpm_hash_algs/,
    code: 'attestation_failed',
  },
  'an AK whose scheme is not accepted': {
    env: () => ({ KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: 'rsassa' }),
    refusal: /ecdsa.*accept_tpm_signing_algs/,
    code: 'attestation_failed',
  },
}
type Case = [string, 'add' | 'update', 'pull' | 'push']
const ways = (bad: Record<string, Bad>, models: ('pull' | 'push')[]): Case[] =>
  Object.keys(bad).flatMap((what) => (['add', 'update'] as const).flatMap((command) => models.map((model): Case => [what, command, model])))
const optionsOf = (agentId: string, model: 'pull' | 'push'): Partial<TenantOptions> => ({
  agentId,
  wait: false,
  pushModel: model === 'push',
  name: 'another name', // an update that names nothing asks nobody
})

let count = 0
test.each([...ways(BAD, ['pull', 'push']), ...ways(BAD_AK, ['push'])])(
  'a machine with %s is not enrolled by %s, %s model',
  async (what, command, model) => {
    const bad = { ...BAD, ...BAD_AK }[what]!
    const id = `judged-${count++}`
    const agent = await world.machine(id)
    if (command === 'update') await world.run('add', { agentId: id, wait: false })
    const before = await world.run('cvstatus', { agentId: id }).catch(() => null)
    Object.assign(world.registered.get(id)!, await bad.registered?.())
    const failed = world.run(command, optionsOf(id, model), bad.env?.())
    await expect(failed).rejects.toMatchObject({ code: bad.code, message: expect.stringMatching(bad.refusal) })
    expect(world.happened()).not.toContain('enrolled')
    expect(agent.userKeys).toEqual([])
    const after = await world.run('cvstatus', { agentId: id }).catch(() => null)
    const akOf = (result: typeof after) => result?.type === 'status' && result.status?.['ak_tpm']
    expect([after === null, akOf(after)]).toEqual([before === null, akOf(before)])
  },
)

test.each(['add', 'update'] as const)(
  'a good machine is enrolled by %s in the push model, and its EK was judged before',
  async (command) => {
    const id = `good-${command}`
    await world.machine(id)
    if (command === 'update') await world.run('add', { agentId: id, wait: false })
    await world.run(command, optionsOf(id, 'push'), { KEYLIME_TENANT_EK_CHECK_SCRIPT: script('yes.sh', 0) })
    expect(world.happened().slice(0, 3)).toEqual(['agent_found', 'ek_verified', 'ek_script_passed'])
    expect(world.happened()).toContain('enrolled')
    expect(fs.readFileSync(world.path('asked'), 'utf8')).toContain(id)
  },
)

test('one TPM under several ids is told of before it is enrolled', async () => {
  await world.machine('twin', { shares_tpm_with: ['other-id'] })
  await world.run('add', { agentId: 'twin', wait: false })
  expect(world.events).toContainEqual({ type: 'warning', text: expect.stringMatching(/registered under other ids too: other-id/) })
})
