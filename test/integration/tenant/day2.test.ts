import fs from 'node:fs'
import path from 'node:path'
import { readCertificate } from '../../../src/authority/list-certificates.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCrl } from '../../../src/core/pki/crl.ts'
import { refusalHint } from '../../../src/roles/agent/registration/register-agent.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import type { TenantEvent } from '../../../src/roles/tenant/events.ts'
import { runFleetCommand } from '../../../src/roles/tenant/fleet/fleet-command.ts'
import { runTenantCommand, type TenantResult } from '../../../src/roles/tenant/run-command.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import type { TenantCommand, TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { testLogger, until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { askToRegister, registerMachine, type SoftwareEk, softwareEk } from '../../software-ek.ts'
import { walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const zero = '0'.repeat(64)
const bed = new VerifierBed({
  KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent']",
  KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['ecdsa']",
  KEYLIME_TENANT_REQUIRE_EK_CERT: 'False',
  KEYLIME_CA_PASSWORD: 'secret',
})
let registrar: RunningRegistrar
let events: TenantEvent[]

beforeAll(async () => {
  await bed.start()
  registrar = await startRegistrar(loadRegistrarSettings(bed.home.env), testLogger('registrar'))
  Object.assign(bed.home.env, {
    KEYLIME_TENANT_VERIFIER_PORT: String(bed.verifier.port),
    KEYLIME_TENANT_REGISTRAR_PORT: String(registrar.tlsPort),
  })
})
afterEach(() => bed.retire())
afterAll(async () => {
  await registrar.stop()
  await bed.stop()
})

async function run(command: TenantCommand, options: Partial<TenantOptions> = {}): Promise<TenantResult & { summary?: string }> {
  events = []
  const all: TenantOptions = { command, wait: true, timeoutSeconds: 8, ...options }
  return withTenant({ options: all, settings: loadTenantSettings(bed.home.env), report: (event) => events.push(event) }, (context) =>
    runTenantCommand(context, command),
  )
}
const loadCaValues = () => loadConfig('ca', caOptions, { env: bed.home.env }).values
const warnings = () => events.flatMap((event) => (event.type === 'warning' ? [event.text] : []))

interface Registered {
  machine: SimulatedAgent
  ek: SoftwareEk
  notices: { agent_id: string; event_id: string }[]
}
async function registered(id: string, ek = softwareEk()): Promise<Registered> {
  const machine = await bed.machine()
  const notices: Registered['notices'] = []
  machine.onNotification = ({ msg }) => notices.push(JSON.parse(msg))
  expect(await registerMachine(registrar.port, id, { machine, ek })).toMatchObject({ status: 200 })
  return { machine, ek, notices }
}
async function enrolled(id: string, options: Partial<TenantOptions> = {}, ek?: SoftwareEk): Promise<Registered> {
  const one = await registered(id, ek)
  await run('add', { agentId: id, tpmPolicy: JSON.stringify({ 15: [zero] }), ...options })
  return one
}
const secretText = (name: string, text: string) => {
  const file = path.join(bed.home.dir, name)
  fs.writeFileSync(file, text)
  return file
}
const secret = (name: string) => {
  const file = path.join(bed.home.dir, name)
  fs.writeFileSync(file, name)
  return file
}

describe('revoke: a machine is stolen', () => {
  test('the others are told by a notice as of any failure, and it cannot register again until it is forgotten', async () => {
    const peer = await enrolled('peer')
    const stolen = await enrolled('stolen')
    const { summary } = await run('revoke', { agentId: 'stolen' })
    expect(summary).toMatch(/^agent stolen is revoked: \d+ receivers are being told .* it had no certificate; it cannot register again/)
    const notice = await until('the peer is told', () => peer.notices.find(({ agent_id }) => agent_id === 'stolen'))
    expect(notice).toMatchObject({ type: 'revocation', event_id: 'operator.revoked' })
    expect(stolen.notices).toEqual([])
    expect(await bed.status('stolen')).toEqual({})

    const again = await registerMachine(registrar.port, 'stolen', stolen)
    expect(again).toMatchObject({ status: 403, message: expect.stringMatching(/agent stolen was revoked by an operator on 20/) })
    expect(refusalHint(again.message)).toContain('keylime tenant forget')
    const otherId = await registerMachine(registrar.port, 'innocent', stolen)
    expect(otherId).toMatchObject({ status: 403, message: expect.stringContaining('the TPM of this machine was revoked by an operator') })
    expect(otherId.message).not.toContain('stolen')
    const other = { machine: stolen.machine, ek: softwareEk() }
    expect(await registerMachine(registrar.port, 'stolen', other)).toMatchObject({ status: 403 })
    await expect(run('add', { agentId: 'stolen' })).rejects.toMatchObject({
      code: 'agent_not_found',
      message: expect.stringContaining('revoked'),
    })
    await expect(run('replace', { agentId: 'stolen' })).rejects.toMatchObject({ code: 'refused' })

    expect((await run('revoke', { agentId: 'stolen' })).summary).toContain('it was not enrolled') // again: nothing more happens
    expect((await run('forget', { agentId: 'stolen' })).summary).toContain('no longer barred from registering')
    expect(await registerMachine(registrar.port, 'stolen', stolen)).toMatchObject({ status: 200 })
  })

  test('its certificate is revoked, and the notice names it', async () => {
    const peer = await enrolled('cert-peer')
    await enrolled('cert-stolen', { cert: 'default', wait: false })
    expect((await run('revoke', { agentId: 'cert-stolen' })).summary).toMatch(/certificate \d+ is revoked/)
    await until('told', () => peer.notices.find(({ agent_id }) => agent_id === 'cert-stolen'))
  })

  walk('a certificate that is not the one here under its name is said to be good still', async () => {
    await enrolled('cert-other', { cert: 'default', wait: false })
    await bed.admin.request('PUT', '/v2.6/agents/cert-other', { body: { metadata: '{"cert_serial": 4711, "subject": "CN=cert-other"}' } })
    expect((await run('revoke', { agentId: 'cert-other' })).summary).toMatch(/certificate \d+ is revoked, certificate 4711 is NOT/)
    expect(warnings().join()).toContain('keylime ca revoke --serial 4711')
  })

  test('a registration that was asked for before, under another id of the same TPM, is refused when it answers', async () => {
    const machine = await bed.machine()
    const ek = softwareEk()
    const shadow = await askToRegister(registrar.port, 'shadow', { machine, ek })
    const own = await askToRegister(registrar.port, 'in-between', { machine, ek })
    expect(await own.answer()).toMatchObject({ status: 200 })
    await run('revoke', { agentId: 'in-between' })
    expect(await shadow.answer()).toMatchObject({ status: 403, message: expect.stringContaining('was revoked by an operator') })
  })

  test('what is not enrolled can be revoked too; what nobody knows is barred by its id alone, and said so', async () => {
    await registered('only-registered')
    expect((await run('revoke', { agentId: 'only-registered' })).summary).toContain('it was not enrolled, so nobody was told')
    await expect(run('revoke', { agentId: 'never-seen' })).rejects.toMatchObject({
      code: 'agent_not_found',
      hint: expect.stringContaining('--yes'),
    })
    await run('revoke', { agentId: 'never-seen', yes: true })
    expect(warnings().join()).toContain('its TPM is not known')
    const machine = await bed.machine()
    expect(await registerMachine(registrar.port, 'never-seen', { machine, ek: softwareEk() })).toMatchObject({ status: 403 })
    await run('forget', { agentId: 'never-seen' })
  })
})

describe('replace: another system or TPM takes over an id', () => {
  test('a new installation on the same TPM alarms nobody, keeps its policies, and gets no key share of the old one', async () => {
    const peer = await enrolled('calm-peer')
    const before = await enrolled('mended', { file: secret('old'), wait: false })
    const fresh = await bed.machine()
    const refused = await registerMachine(registrar.port, 'mended', { machine: fresh, ek: before.ek })
    expect(refused).toMatchObject({ status: 403, message: expect.stringContaining('another attestation key') })
    expect(refusalHint(refused.message)).toContain('keylime tenant replace ID')
    await before.machine.stop()
    const replacing = run('replace', { agentId: 'mended' })
    await until(
      'the way is free',
      async () => (await registerMachine(registrar.port, 'mended', { machine: fresh, ek: before.ek })).status === 200,
    )
    expect((await replacing).summary).toContain('agent mended is trusted')
    expect(warnings()).toContainEqual(expect.stringContaining('mended has no payload'))
    expect(await bed.status('mended')).toMatchObject({ port: fresh.port, tpm_policy: expect.stringContaining('"15"'), v_released: false })
    expect(fresh.received).toEqual([])
    expect(peer.notices.filter(({ agent_id }) => agent_id === 'mended')).toEqual([])
  })

  test('a new mainboard: the hint tells it apart, and the machine is enrolled with its new TPM and a new secret', async () => {
    const before = await enrolled('board')
    const machine = await bed.machine()
    const ek = softwareEk()
    const refused = await registerMachine(registrar.port, 'board', { machine, ek })
    expect(refusalHint(refused.message)).toContain('after a new mainboard: `keylime tenant replace ID`')
    await run('replace', { agentId: 'board', wait: false })
    expect((await bed.status('board')).operational_state).toBe(10)
    expect(await registerMachine(registrar.port, 'board', { machine, ek })).toMatchObject({ status: 200 })
    await run('update', { agentId: 'board', file: secret('new'), cvTargetHost: '127.0.0.1', waitScript: false })
    expect(machine.received).toHaveLength(1)
    expect(before.machine.received).toEqual([])
  })

  test('a key share that the old machine has not taken goes to no other TPM, however the operator goes on', async () => {
    const before = await registered('half-way')
    await run('add', { agentId: 'half-way', tpmPolicy: JSON.stringify({ 15: ['1'.repeat(64)] }), file: secret('half'), wait: false })
    await bed.inState('half-way', 9)
    await run('replace', { agentId: 'half-way', wait: false })
    const other = await bed.machine()
    expect(await registerMachine(registrar.port, 'half-way', { machine: other, ek: softwareEk() })).toMatchObject({ status: 200 })
    await run('update', { agentId: 'half-way', tpmPolicy: JSON.stringify({ 15: [zero] }), cvTargetHost: '127.0.0.1' })
    await until('rounds', async () => (await bed.status('half-way')).attestation_count > 3)
    expect([...other.received, ...before.machine.received]).toEqual([])
  })

  test('its certificate and key are not handed on: the new machine gets others, and the old ones are revoked', async () => {
    const before = await enrolled('re-certified', { cert: 'default', wait: false })
    const serialOf = async () => BigInt((JSON.parse((await bed.status('re-certified')).meta_data) as { cert_serial: number }).cert_serial)
    const old = await serialOf()
    const machine = await bed.machine()
    const replacing = run('replace', { agentId: 're-certified', cert: 'default', waitScript: false })
    await until('free', async () => (await registerMachine(registrar.port, 're-certified', { machine, ek: before.ek })).status === 200)
    await replacing
    const revoked = parseCrl(fs.readFileSync(path.join(bed.home.dir, 'ca/cacrl.der'))).revoked.map((entry) => entry.serial)
    expect(revoked).toContain(old)
    expect(revoked).not.toContain(await serialOf())
  })

  walk.each([
    ['update', { agentId: 'cut-short-a' }, false],
    ['add', { agentId: 'cut-short-b', targetHost: '127.0.0.1' }, true],
  ] as const)('nor when `replace` was cut short and %s goes on: also an earlier one ends', async (word, options, isDeleted) => {
    const { agentId } = options
    const before = await enrolled(agentId, { cert: 'default', wait: false })
    const stem = path.join(bed.home.dir, 'ca', agentId)
    const keyOf = () => fs.readFileSync(`${stem}-private.pem`, 'utf8')
    const access = { directory: path.dirname(stem), password: 'secret', settings: caSettings(loadCaValues()), now: Date.now }
    const first = (await readCertificate(access.directory, agentId)).serial
    const { certificate } = await withAuthority(access, (authority) => authority.issue({ name: agentId }))
    await run('update', { agentId, cert: 'default', wait: false })
    expect(warnings().filter((text) => text.includes('another machine'))).toEqual([]) // the same machine as before
    const key = keyOf()
    await run('replace', { agentId, wait: false })
    if (isDeleted) await run('delete', { agentId })
    const machine = await bed.machine()
    expect(await registerMachine(registrar.port, agentId, { machine, ek: before.ek })).toMatchObject({ status: 200 })
    await run(word, { ...options, cert: 'default', wait: false, cvTargetHost: '127.0.0.1' })
    expect(warnings().join()).toContain(`${agentId} is another machine than before`)
    const revoked = parseCrl(fs.readFileSync(path.join(bed.home.dir, 'ca/cacrl.der'))).revoked.map(({ serial }) => serial)
    expect(revoked).toEqual(expect.arrayContaining([first, certificate.serial]))
    expect(keyOf()).not.toBe(key)
  })

  walk('what the registrar says of another TPM ends no certificate before that TPM has proved itself', async () => {
    const { machine, ek } = await enrolled('said-so', { cert: 'default', wait: false })
    await run('replace', { agentId: 'said-so', wait: false })
    const other = await bed.machine()
    await registerMachine(registrar.port, 'said-so', { machine: { ...other, port: machine.port } as SimulatedAgent, ek })
    const list = path.join(bed.home.dir, 'ca/cacrl.der')
    const before = fs.readFileSync(list)
    await expect(run('update', { agentId: 'said-so', cert: 'default', wait: false })).rejects.toThrow()
    expect(fs.readFileSync(list).equals(before)).toBe(true)
  })

  test('the hints for the other refusals differ', async () => {
    await registered('has-this-tpm', softwareEk())
    const one = await registered('first-id')
    const second = await registerMachine(registrar.port, 'second-id', one)
    expect(refusalHint(second.message)).toContain('keylime tenant rename OLD NEW')
    const id = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'
    await registered(id)
    const shared = await registerMachine(registrar.port, id, { machine: await bed.machine(), ek: softwareEk() })
    expect(refusalHint(shared.message)).toContain('uuid = "hash_ek"')
    const hints = [second.message, shared.message, 'anything else'].map(refusalHint)
    expect(new Set(hints).size).toBe(3)
  })
})

describe('forget: a machine is taken out of service', () => {
  test('verifier, certificate and registrar forget it, nobody is alarmed, and what stays on it is said', async () => {
    const peer = await enrolled('forget-peer')
    const gone = await enrolled('gone', { cert: 'default', wait: false })
    const { summary } = await run('forget', { agentId: 'gone' })
    expect(summary).toMatch(/no longer enrolled, no longer registered, certificate \d+ is revoked/)
    expect(warnings().join()).toContain('the machine still has the agent')
    expect(peer.notices.filter(({ agent_id }) => agent_id === 'gone')).toEqual([])
    expect(await registerMachine(registrar.port, 'gone', gone)).toMatchObject({ status: 200 })
    await expect(run('forget', { agentId: 'never-heard-of' })).rejects.toMatchObject({ code: 'agent_not_found' })
  })
})

describe('rename: the same machine under another id', () => {
  test('it registers under the new id, and what it must prove comes along', async () => {
    const before = await enrolled('old-name')
    const fresh = await bed.machine()
    const renaming = run('rename', { agentId: 'old-name', newId: 'new-name' })
    await until('free', async () => (await registerMachine(registrar.port, 'new-name', { machine: fresh, ek: before.ek })).status === 200)
    expect((await renaming).summary).toContain('agent new-name is trusted')
    expect(JSON.parse((await bed.status('new-name')).tpm_policy)).toMatchObject({ 15: [zero] })
    expect(await bed.status('old-name')).toEqual({})
  })

  walk('its certificate of the old id is told of, and ends when it gets another', async () => {
    const before = await enrolled('named-a', { cert: 'default', wait: false })
    const serialOf = async (id: string) => (JSON.parse((await bed.status(id)).meta_data) as { cert_serial: number }).cert_serial
    const serial = await serialOf('named-a')
    const rename = async (from: string, to: string, options: Partial<TenantOptions>) => {
      const machine = await bed.machine()
      const renaming = run('rename', { agentId: from, newId: to, waitScript: false, ...options })
      await until('free', async () => (await registerMachine(registrar.port, to, { machine, ek: before.ek })).status === 200)
      await renaming
    }
    await rename('named-a', 'named-b', {})
    expect(warnings().join()).toContain(`its certificate ${serial} is of the old id and good still`)
    await run('update', { agentId: 'named-b', cert: 'default', wait: false })
    const second = await serialOf('named-b')
    await rename('named-b', 'named-c', { cert: 'default' })
    const revoked = parseCrl(fs.readFileSync(path.join(bed.home.dir, 'ca/cacrl.der'))).revoked.map((entry) => entry.serial)
    expect(revoked).toContain(BigInt(second))
    expect(revoked).not.toContain(BigInt(await serialOf('named-c')))
  })

  walk('an interrupted rename says how to go on without demanding less', async () => {
    await enrolled('cut-a')
    const option = `--tpm_policy '{"15":["${zero}"]}'`
    await expect(run('rename', { agentId: 'cut-a', newId: 'cut-b', timeoutSeconds: 0.3 })).rejects.toMatchObject({
      code: 'timeout',
      hint: expect.stringContaining(`keylime tenant add -u cut-b ${option}`),
    })
    await enrolled('cut-c')
    await run('rename', { agentId: 'cut-c', newId: 'cut-d', wait: false })
    expect(warnings().join()).toContain(option)
  })

  test('another TPM under the new id is not it; one that is taken is refused before anything changes', async () => {
    await enrolled('was-a')
    await enrolled('was-b')
    await expect(run('rename', { agentId: 'was-a', newId: 'was-b' })).rejects.toMatchObject({ code: 'already_exists' })
    expect(await bed.status('was-a')).toMatchObject({ operational_state: 3 })
    const machine = await bed.machine()
    const renaming = run('rename', { agentId: 'was-a', newId: 'was-c' })
    const refused = expect(renaming).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('another TPM') })
    await until('it waits', () => events.some((event) => event.type === 'working' && event.text.startsWith('waiting for the machine')))
    expect(await registerMachine(registrar.port, 'was-c', { machine, ek: softwareEk() })).toMatchObject({ status: 200 })
    await refused
  })
})

describe('the name of a machine', () => {
  test('is as good as its id in every word, and one that an operator gave twice means nobody', async () => {
    await enrolled('named-1', { name: 'Rack 7' })
    expect(await run('status', { agentId: 'Rack 7' })).toMatchObject({ agentId: 'named-1' })
    expect(await run('update', { agentId: 'Rack 7', tpmPolicy: JSON.stringify({ 14: [zero], 15: [zero] }) })).toMatchObject({
      agentId: 'named-1',
    })
    expect(await run('reactivate', { agentId: 'Rack 7', wait: false })).toMatchObject({ agentId: 'named-1' })
    await enrolled('named-2', { name: 'Rack 7' })
    for (const command of ['status', 'update', 'delete', 'revoke', 'forget'] as const)
      await expect(run(command, { agentId: 'Rack 7', yes: true })).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringMatching(/"Rack 7" is the name of 2 machines:\n {2}named-1\n {2}named-2/),
      })
    await run('update', { agentId: 'named-2', name: 'named-1' }) // the id of another machine is that machine, whoever is named so
    expect(await run('status', { agentId: 'named-1' })).toMatchObject({ agentId: 'named-1' })
    await run('update', { agentId: 'named-2', name: 'named' })
    await expect(run('status', { agentId: 'named' })).rejects.toMatchObject({
      message: expect.stringMatching(/^"named" is the name of one machine, and is the beginning of \d ids:/),
    })
    expect(await run('delete', { agentId: 'Rack 7' })).toMatchObject({ agentId: 'named-1' })
    await expect(run('delete', { agentId: 'Rack 7' })).rejects.toMatchObject({
      code: 'usage',
      message: '"Rack 7" cannot be the id of an agent, and no machine has that name',
    })
  })

  test('is not taken by who registers under it: a thief would have another machine revoked than the one that he stole', async () => {
    await enrolled('stolen-0', { name: 'web-1' })
    expect(await registerMachine(registrar.port, 'web-1', { machine: await bed.machine(), ek: softwareEk() })).toMatchObject({
      status: 200,
    })
    for (const command of ['revoke', 'forget', 'delete', 'reactivate'] as const)
      await expect(run(command, { agentId: 'web-1', yes: true })).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringContaining('and the name of stolen-0'),
      })
    expect(await run('revoke', { agentId: 'stolen-0', yes: true })).toMatchObject({ agentId: 'stolen-0' })
    expect(await run('forget', { agentId: 'web-1', yes: true })).toMatchObject({ agentId: 'web-1' })
  })

  walk('is not what the machine itself says: a host name that it registers is nobody’s name', async () => {
    const machine = await bed.machine()
    const ek = softwareEk()
    expect(await registerMachine(registrar.port, 'impostor', { machine, ek, ip: 'rack8.example.org' })).toMatchObject({ status: 200 })
    await expect(run('status', { agentId: 'rack8.example.org' })).rejects.toMatchObject({ code: 'agent_not_found' })
  })
})

describe('the list of machines', () => {
  walk('shows whom an operator revoked, until it is forgotten', async () => {
    await enrolled('thief')
    await run('revoke', { agentId: 'thief', yes: true })
    const listed = async () =>
      ((await run('list')) as { machines?: { agentId: string; state: string; revokedAt: string | null }[] }).machines
    expect(await listed()).toContainEqual(
      expect.objectContaining({ agentId: 'thief', state: 'revoked', revokedAt: expect.stringMatching(/^20\d\d-/) }),
    )
    await run('forget', { agentId: 'thief', yes: true })
    expect((await listed())?.filter(({ agentId }) => agentId === 'thief')).toEqual([])
  })
})

describe('the beginning of an id', () => {
  test('is enough to ask, and never enough to take away without being asked', async () => {
    await enrolled('laptop-7')
    expect(await run('status', { agentId: 'lap' })).toMatchObject({ agentId: 'laptop-7' })
    for (const command of ['delete', 'regdelete', 'revoke', 'forget', 'replace'] as const)
      await expect(run(command, { agentId: 'lap' })).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringContaining('"lap" means agent laptop-7'),
      })
    expect(await bed.status('laptop-7')).toMatchObject({ operational_state: 3 })
    await expect(run('delete', { agentId: 'lap', yes: true })).rejects.toMatchObject({ code: 'usage', hint: 'run this with -u laptop-7' })
    expect(await bed.status('laptop-7')).toMatchObject({ operational_state: 3 })
  })

  walk('means the same in every word: ids of both servers count', async () => {
    await registered('twin-registered')
    const other = await bed.machine()
    await bed.add('twin-enrolled', other)
    for (const command of ['status', 'cvstatus', 'regstatus', 'reactivate', 'add', 'update', 'delete', 'regdelete'] as const)
      await expect(run(command, { agentId: 'twin' })).rejects.toMatchObject({
        message: expect.stringContaining('is the beginning of 2 ids'),
      })
  })

  walk('a whole id that was revoked is no beginning of another, so that the same command goes on where it stopped', async () => {
    await enrolled('web1')
    await enrolled('web10')
    await run('revoke', { agentId: 'web1' })
    for (const command of ['revoke', 'forget'] as const) {
      expect((await run(command, { agentId: 'web1', yes: true })).summary).toContain(`agent web1 is `)
      expect(await bed.status('web10')).toMatchObject({ operational_state: 3 })
    }
  })

  test('is not asked about with --yes only where a person can have looked: of what is not there nothing else is meant in a list', async () => {
    await enrolled('db10')
    const list = secretText('machines.csv', 'address,id\n,db1\n')
    const face = { terminal: { line: () => undefined } as never, json: true, quiet: true }
    const selection = { ids: [], hosts: [], all: false, policy: undefined, state: undefined, from: list }
    const fleet = { selection, parallel: 1, dryRun: false, resume: undefined }
    const options: TenantOptions = { command: 'delete', wait: true, timeoutSeconds: 8, yes: true }
    await withTenant({ options, settings: loadTenantSettings(bed.home.env), report: () => undefined }, (context) =>
      runFleetCommand(context, 'delete', fleet, face),
    )
    expect(await bed.status('db10')).toMatchObject({ operational_state: 3 })
  })
})

describe('where one TPM may have several ids', () => {
  walk('revoke names the others, under which the machine is trusted still', async () => {
    await registrar.stop()
    registrar = await startRegistrar(
      loadRegistrarSettings({ ...bed.home.env, KEYLIME_REGISTRAR_SAME_TPM_UNDER_OTHER_IDS: 'allow' }),
      testLogger('registrar'),
    )
    bed.home.env['KEYLIME_TENANT_REGISTRAR_PORT'] = String(registrar.tlsPort)
    const { ek } = await enrolled('twice-a')
    await enrolled('twice-b', {}, ek)
    await run('revoke', { agentId: 'twice-a' })
    expect(warnings().join()).toContain('the same TPM is still registered as twice-b')
  })
})
