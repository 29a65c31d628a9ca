import fs from 'node:fs'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import type { DeliveryReport } from '../../../src/core/api/push/delivery.ts'
import { challengeHmac } from '../../../src/core/payload/auth-tag.ts'
import { verifyOrder } from '../../../src/core/payload/delivery-order.ts'
import { openPayload, sealPayload } from '../../../src/core/payload/seal.ts'
import { credentialOf, openSealedShare } from '../../../src/core/payload/sealed-share.ts'
import { combineKey } from '../../../src/core/payload/split-key.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { openCa } from '../../../src/roles/ca/open-ca.ts'
import type { TenantCommand, TenantOptions } from '../../../src/roles/tenant/tenant-options.ts'
import { activateCredential } from '../../software-ek.ts'
import { TenantWorld } from './fixtures.ts'
import { ScriptedVerifier } from './scripted-verifier.ts'

const world = new TenantWorld()
const verifier = new ScriptedVerifier()
beforeAll(async () => {
  await world.start()
  await verifier.start(world)
  world.file('secret.txt', 'the secret')
})
afterAll(async () => {
  await verifier.stop()
  await world.stop()
})
beforeEach(() => {
  verifier.sent.length = 0
  verifier.status = (id) =>
    verifier.sent.some(({ agentId }) => agentId === id) ? { operational_state: 1, comes_by: 'push', failures: [] } : undefined
  verifier.check = { refused: null, delivery: 1 }
})

const BY_ITSELF = { ip: null, port: null, mtls_cert: null }
const run = (command: TenantCommand, options: Partial<TenantOptions>, env: Record<string, string> = {}) =>
  world.run(command, options, { KEYLIME_TENANT_VERIFIER_PORT: String(verifier.port), ...env })
const add = (agentId: string, options: Partial<TenantOptions> = {}, env: Record<string, string> = {}) =>
  run('add', { agentId, pushModel: true, file: world.path('secret.txt'), wait: false, ...options }, env)

/** What the machine itself would make of what lies at the verifier. */
function opened(agentId: string, { v } = verifier.sent.at(-1)!.body as { v: string }) {
  const mailbox = verifier.mailbox
  const authority = parseCertificate(fs.readFileSync(world.path('cv_ca/cacert.crt'), 'utf8'))
  const trust = { authorities: [authority], lists: [], authorized: [{ kind: 'default' as const }] }
  const order = verifyOrder(mailbox, { agentId, share: mailbox.share, payload: mailbox.payload }, trust, Date.now())
  const ak = Buffer.from(String(world.registered.get(agentId)!['aik_tpm']), 'base64')
  const secret = activateCredential(world.eks.get(agentId)!, ak, credentialOf(mailbox.share))
  const u = openSealedShare(mailbox.share, secret, { agentId, enrolment: order.enrolment })
  const k = combineKey(u, Buffer.from(v, 'base64'))
  return { order, u, k, text: mailbox.payload === null ? null : openPayload(k, mailbox.payload).toString() }
}

test.each<[string, boolean]>([
  ['ours', false],
  ['upstream’s', true],
])(
  'what is added by the words of %s lies at the verifier sealed to the TPM and signed, and the machine is not contacted',
  async (_face, replaces) => {
    const id = `sealed-${replaces}`
    const machine = await world.machine(id, BY_ITSELF)
    await add(id, { replaces })
    expect(world.happened()).toEqual(['agent_found', 'ek_verified', 'payload_ready', 'delivery_sealed', 'enrolled_status', 'enrolled'])
    expect(opened(id).text).toBe('the secret')
    expect([machine.quotes, machine.userKeys]).toEqual([[], []])
    const { delivery: _delivery, v: _v, ...rest } = verifier.sent.at(-1)!.body
    const clear = [JSON.stringify(verifier.mailbox), JSON.stringify(rest)].join()
    for (const secret of [opened(id).u, opened(id).k])
      for (const form of ['hex', 'base64'] as const) expect(clear).not.toContain(secret.toString(form).replace(/=+$/, ''))
  },
)

test('a key alone, a key with its payload, and a package of certificates are delivered the same way', async () => {
  await world.machine('keys', BY_ITSELF)
  const [k, v] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)]
  const keyFile = world.file('k.key', [k, combineKey(k, v), v].map((key) => key.toString('base64')).join('\n'))
  await add('keys', { file: '', keyFile })
  expect(opened('keys')).toMatchObject({ k, text: null, order: { payload_sha256: null } })
  const payloadFile = world.file('sealed', sealPayload(k, Buffer.alloc(16, 3), Buffer.from('sealed before')))
  await world.machine('key-and-payload', BY_ITSELF)
  await add('key-and-payload', { file: '', keyFile, payloadFile })
  expect(opened('key-and-payload').text).toBe('sealed before')
  await world.machine('package', BY_ITSELF)
  await add('package', { file: '', cert: 'default', include: [fs.mkdtempSync(world.path('include-'))] })
  expect(opened('package').text).toMatch(/^PK/)
  expect(verifier.sent.at(-1)!.body.metadata).toMatch(/cert_serial/)
})

test('the order is one generation above the one that the verifier has, whatever clocks say', async () => {
  await world.machine('generations', BY_ITSELF)
  await add('generations')
  const first = opened('generations').order.generation
  expect(Math.abs(first - Date.now())).toBeLessThan(60_000)
  const ahead = Date.now() + 60_000_000
  verifier.status = () => ({
    operational_state: 3,
    attestation_count: 1,
    comes_by: 'push',
    failures: [],
    delivery: { enrolment: 'e', generation: ahead, ordered_at: 1, report: null },
  })
  await run('update', { agentId: 'generations', file: world.path('secret.txt'), wait: false })
  expect(opened('generations').order.generation).toBe(ahead + 1)
  const report = {
    enrolment: 'ab'.repeat(16),
    generation: ahead,
    state: 'refused',
    files: 0,
    script: 'none',
    proof: null,
    newest: ahead + 7,
  }
  verifier.status = () => ({
    operational_state: 3,
    attestation_count: 1,
    comes_by: 'push',
    failures: [],
    delivery: { enrolment: 'e', generation: ahead, ordered_at: 1, report },
  })
  await run('update', { agentId: 'generations', file: world.path('secret.txt'), wait: false })
  expect(opened('generations').order.generation).toBe(ahead + 8)
})

test('an update with a payload for the machine itself, or a machine that takes the place, ends what lies there', async () => {
  await world.machine('switched')
  const delivery = { enrolment: 'e', generation: 1, ordered_at: 1, report: null }
  verifier.status = () => ({ operational_state: 3, attestation_count: 1, comes_by: 'push', failures: [], delivery })
  await run('update', { agentId: 'switched', targetHost: '127.0.0.1', file: world.path('secret.txt'), wait: false })
  expect(verifier.sent.at(-1)!.body).toMatchObject({ delivery: null, v: expect.any(String) })
  await run('update', { agentId: 'switched', takesOver: true, wait: false })
  expect(verifier.sent.at(-1)!.body).toMatchObject({ delivery: null, v: null })
  await run('update', { agentId: 'switched', name: 'another', wait: false })
  expect(verifier.sent.at(-1)!.body).not.toHaveProperty('delivery')
})

describe('nothing is sent', () => {
  afterEach(() => expect(verifier.sent).toEqual([]))

  test.each<[string, object | null, RegExp, RegExp]>([
    ['upstream’s', null, /this verifier keeps no payload/, /upstream’s does not.*-t/],
    ['an older one', { refused: null }, /is older: it keeps no payload/, /upgrade it/],
    ['one of a later version', { refused: null, delivery: 2 }, /keeps no payload/, /upgrade it/],
  ])('when the verifier is %s', async (_whose, check, message, hint) => {
    await world.machine('old', BY_ITSELF)
    verifier.check = check
    await expect(add('old')).rejects.toMatchObject({
      code: 'unsupported_version',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    })
  })

  test('when the tenant’s certificate is that of a machine', async () => {
    await world.machine('no-operator', BY_ITSELF)
    const access = await openCa({ directory: world.path('cv_ca'), passwordFile: undefined }, world.home.env).access()
    const { certificate, privateKeyPem } = await withAuthority(access, (authority) => authority.issue({ name: 'a-machine' }))
    const env = {
      KEYLIME_TENANT_CLIENT_CERT: world.file('m.crt', certificate.pem),
      KEYLIME_TENANT_CLIENT_KEY: world.file('m.pem', privateKeyPem!),
    }
    fs.chmodSync(world.path('m.pem'), 0o600)
    await expect(add('no-operator', {}, env)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/not an operator's/),
      hint: expect.stringContaining('keylime ca operator'),
    })
  })

  test('when the EK does not lead to a maker, or there is none to seal to', async () => {
    await world.machine('no-maker', { ...BY_ITSELF, ekcert: '' })
    await expect(add('no-maker')).rejects.toMatchObject({ code: 'ek_rejected' })
    world.registered.get('no-maker')!['ek_tpm'] = 'AAAA'
    await expect(add('no-maker', {}, { KEYLIME_TENANT_REQUIRE_EK_CERT: 'False' })).rejects.toMatchObject({
      code: 'ek_rejected',
      message: expect.stringMatching(/nothing can be sealed/),
    })
  })

  test.each<[string, Partial<TenantOptions>, RegExp]>([
    ['--verify', { verify: true }, /--verify needs a payload/],
    ['--sealed', { sealed: true }, /--sealed needs a payload/],
  ])('with %s and no payload', async (_name, options, message) => {
    await expect(add('x', { file: '', ...options })).rejects.toMatchObject({ code: 'usage', message: expect.stringMatching(message) })
  })
})

test('where no EK certificate is demanded it is sealed to the EK that the registrar has, and the operator is told what that means', async () => {
  await world.machine('any-tpm', { ...BY_ITSELF, ekcert: '' })
  await add('any-tpm', {}, { KEYLIME_TENANT_REQUIRE_EK_CERT: 'False' })
  expect(world.happened()).toContain('ek_unchecked')
  expect(opened('any-tpm').text).toBe('the secret')
})

test('--sealed asks no machine anything, and it stays one that the verifier asks', async () => {
  const machine = await world.machine('asked')
  await add('asked', { pushModel: false, sealed: true })
  expect([machine.quotes, machine.userKeys]).toEqual([[], []])
  expect(verifier.sent.at(-1)!.body).toMatchObject({ cloudagent_ip: '127.0.0.1', cloudagent_port: machine.port })
  expect(opened('asked').text).toBe('the secret')
})

describe('while the machine is waited for', () => {
  const reports = (changes: Partial<DeliveryReport> = {}) => {
    const { order, k } = opened('awaited')
    const { enrolment, generation } = order
    return {
      operational_state: 3,
      attestation_count: 1,
      comes_by: 'push',
      last_received_quote: 1000,
      delivery: {
        enrolment,
        generation,
        ordered_at: 1,
        report: {
          enrolment,
          generation,
          state: 'unpacked',
          files: 3,
          script: 'done',
          proof: challengeHmac(k, order.challenge),
          ...changes,
        },
      },
    }
  }
  const wait = (options: Partial<TenantOptions> = {}) => add('awaited', { wait: true, waitScript: true, timeoutSeconds: 0.3, ...options })
  const says = (status: () => Record<string, unknown>) => {
    verifier.status = () => (verifier.sent.length > 0 ? status() : undefined)
  }
  const silent = () => ({ ...reports(), delivery: { ...reports().delivery, report: null }, operational_state: 1, attestation_count: 0 })
  beforeAll(() => world.machine('awaited', BY_ITSELF))

  test('its proof is believed, and what it did with the payload is told', async () => {
    says(() => reports())
    const result = await wait()
    expect(world.happened().slice(-4)).toEqual(['enrolled', 'attested', 'key_proved', 'unpacked'])
    expect(result).toMatchObject({ summary: expect.stringMatching(/and its payload is delivered/) })
  })

  test('a verifier that cannot answer for a moment is asked again', async () => {
    let asked = 0
    says(() => (++asked < 4 ? { status: 503 } : reports()))
    expect(await wait({ timeoutSeconds: 5 })).toMatchObject({ summary: expect.stringMatching(/and its payload is delivered/) })
    says(() => ({ status: 503 }))
    verifier.sent.length = 0
    await expect(wait()).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('one that is off is waited for, and the enrolment stands', async () => {
    says(() => ({ ...silent(), operational_state: 7, last_event_id: 'internal.verifier.not_reachable' }))
    await expect(wait()).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/has not come.*last seen \d+ d ago/),
      hint: expect.stringMatching(/the machine stays enrolled.*--no-wait/),
    })
    expect(world.events).toContainEqual({ type: 'waiting', agentId: 'awaited', lastSeen: 1000 })
  })

  test('Ctrl-C ends the waiting and nothing else, and the last line says so', async () => {
    says(silent)
    const listeners = process.listenerCount('SIGINT')
    const waiting = wait({ timeoutSeconds: 60 })
    while (process.listenerCount('SIGINT') === listeners) await new Promise((done) => setTimeout(done, 5))
    process.emit('SIGINT')
    expect(await waiting).toMatchObject({
      interrupted: true,
      summary: expect.stringMatching(/stays enrolled.*keylime tenant status -u awaited/),
    })
    expect(process.listenerCount('SIGINT')).toBe(listeners)
    expect(verifier.sent).toHaveLength(1)
  })

  test.each<[string, Partial<DeliveryReport>]>([
    ['a wrong proof', { proof: 'a'.repeat(96) }],
    ['no proof', { proof: null }],
  ])('one that brings %s is not believed, and --verify stops it', async (_what, changes) => {
    says(() => reports(changes))
    await expect(wait()).rejects.toMatchObject({ code: 'attestation_failed', message: expect.stringMatching(/cannot prove/) })
    expect(verifier.sent.map(({ method }) => method)).toEqual(['POST'])
    verifier.sent.length = 0
    const statusBefore = verifier.status
    verifier.status = (id) => (verifier.sent.length > 0 ? statusBefore(id) : undefined)
    await expect(wait({ verify: true })).rejects.toMatchObject({ code: 'attestation_failed' })
    expect(verifier.sent.map(({ method }) => method)).toEqual(['POST', 'stop'])
  })

  test.each<[string, () => Record<string, unknown>, object]>([
    [
      'refuses the order',
      () => reports({ state: 'refused', error: 'an older one', proof: null }),
      { code: 'refused', message: expect.stringMatching(/an older one/) },
    ],
    [
      'could not derive the key',
      () => reports({ state: 'failed', error: 'not the other half', proof: null }),
      { code: 'decryption_failed', message: expect.stringMatching(/not the other half/) },
    ],
    [
      'could not take it',
      () => reports({ state: 'failed', error: 'no archive' }),
      { code: 'archive_refused', message: expect.stringMatching(/no archive/) },
    ],
    ['ran a script that failed', () => reports({ script: 'failed', script_error: 'exit status 3' }), { code: 'script_failed' }],
    [
      'runs its script still',
      () => reports({ script: 'running' }),
      { code: 'timeout', message: expect.stringMatching(/not done with it/) },
    ],
    [
      'failed attestation',
      () => ({ ...silent(), operational_state: 9, last_event_id: 'quote_validation.x', failures: [] }),
      { code: 'attestation_failed' },
    ],
    [
      'was given another delivery meanwhile',
      () => ({ ...silent(), delivery: { ...silent().delivery, enrolment: 'another' } }),
      { code: 'conflict' },
    ],
  ])('one that %s is told as what it is', async (_what, status, error) => {
    says(status)
    await expect(wait()).rejects.toMatchObject(error)
  })

  test('what it says of another delivery is not taken for this one', async () => {
    says(() => reports({ generation: 1 }))
    await expect(wait()).rejects.toMatchObject({ code: 'timeout', message: expect.stringMatching(/has not come/) })
  })
})
