import fs from 'node:fs'
import JSZip from 'jszip'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { authTag } from '../../../src/core/payload/auth-tag.ts'
import { openPayload } from '../../../src/core/payload/seal.ts'
import { combineKey } from '../../../src/core/payload/split-key.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { makeKeyPair } from '../../../src/core/pki/keys.ts'
import { resultLines } from '../../../src/roles/tenant/faces/render-terminal.ts'
import { encryptUserdata } from '../../../src/tools/userdata-encrypt/encrypt-userdata.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { pcrValues, softwareQuote } from '../../software-ak.ts'
import { walk } from '../../thorough.ts'
import { TenantWorld } from './fixtures.ts'

const world = new TenantWorld()
beforeAll(() => world.start())
afterEach(() => world.retire())
afterAll(() => world.stop())

const payloadOf = (agent: SimulatedAgent): Buffer => {
  const { share, payload } = agent.userKeys.at(-1)!
  return openPayload(combineKey(share, agent.received.at(-1)!), payload!)
}

describe('add delivers', () => {
  test('a file: U and payload to the agent, V by the verifier, each step told in order', async () => {
    const agent = await world.machine('file-agent')
    const result = await world.run('add', { agentId: 'file-agent', file: world.file('secret', 'the secret') })
    expect(payloadOf(agent).toString()).toBe('the secret')
    const { share, authTag: tag } = agent.userKeys[0]!
    expect(tag).toBe(authTag(combineKey(share, agent.received[0]!), 'file-agent'))
    expect(world.happened()).toEqual([
      'agent_found',
      'quote_verified',
      'ek_verified',
      'payload_ready',
      'share_sent',
      'enrolled',
      'attested',
      'key_proved',
    ])
    expect(result).toMatchObject({
      type: 'done',
      summary: 'agent file-agent is attested (no policy: any state is accepted), and its payload is delivered',
    })
    expect(JSON.stringify(world.events, (_, value) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(
      share.toString('base64'),
    )
  })

  test('nonce, challenge, K, V and the IV of the payload are fresh each time', async () => {
    const agent = await world.machine('fresh-agent')
    const challenges: string[] = []
    agent.answer.set('/keys/verify', (query, honest) => {
      challenges.push(query.get('challenge')!)
      return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results: honest }) }
    })
    const file = world.file('same', 'the same secret')
    await world.run('add', { agentId: 'fresh-agent', file, verify: true })
    await world.run('update', { agentId: 'fresh-agent', file, verify: true })
    const nonces = agent.quotes.filter(({ path }) => path.endsWith('/quotes/identity')).map(({ nonce }) => nonce)
    expect([nonces.length, new Set(nonces).size]).toEqual([2, 2])
    expect([challenges.length >= 2, new Set(challenges).size]).toEqual([true, challenges.length])
    for (const text of [...nonces, ...challenges]) expect(text).toMatch(/^[A-Za-z0-9]{20,}$/)
    const shares = agent.userKeys.map(({ share }, i) => [share, agent.received[i]!, combineKey(share, agent.received[i]!)])
    for (const which of [0, 1, 2]) expect(new Set(shares.map((of) => of[which]!.toString('hex'))).size).toBe(2)
    const ivs = agent.userKeys.map(({ payload }) => Buffer.from(payload!, 'base64').subarray(0, 16).toString('hex'))
    expect([ivs.length, new Set(ivs).size]).toEqual([2, 2])
  })

  test('a certificate package with the files of --include, sub-directories and modes', async () => {
    const agent = await world.machine('cert-agent')
    world.file('include/sub/data', 'x')
    fs.chmodSync(world.file('include/autorun.sh', '#!/bin/sh\n'), 0o755)
    await world.run('add', { agentId: 'cert-agent', cert: 'default', include: [world.path('include')] })
    const zip = await JSZip.loadAsync(payloadOf(agent))
    expect(Object.keys(zip.files)).toEqual([
      'cert-agent-public.pem',
      'cert-agent-cert.crt',
      'cert-agent-private.pem',
      'cacert.crt',
      'cacrl.der',
      'cacrl.pem',
      'RevocationNotifier-cert.crt',
      'autorun.sh',
      'sub/data',
    ])
    expect(((zip.files['autorun.sh']?.unixPermissions as number) & 0o777).toString(8)).toBe('700')
    const certificate = parseCertificate((await zip.file('cert-agent-cert.crt')?.async('string')) ?? '')
    expect(certificate.subject).toBe('OU=53,O=Keylime,L=Lexington,ST=MA,CN=cert-agent,C=US')
    const notifier = parseCertificate((await zip.file('RevocationNotifier-cert.crt')?.async('string')) ?? '')
    expect([certificate.publicKey.asymmetricKeyType, notifier.publicKey.asymmetricKeyType]).toEqual(['ec', 'rsa']) // notifications are signed with RSASSA-PSS
    const shown = await world.run('cvstatus', { agentId: 'cert-agent' })
    const metadata = JSON.parse(String(shown.type === 'status' && shown.status?.['meta_data']))
    expect(metadata).toEqual({ cert_serial: Number(certificate.serial), subject: certificate.subject })
    expect(fs.existsSync(world.path('ca/cert-agent-pkg.zip'))).toBe(true)
  })

  test('the authority of verifier and registrar gives machines no certificates, and nothing is sent', async () => {
    const machine = await world.machine('tls-agent')
    const before = fs.readdirSync(world.path('cv_ca')).sort()
    const error = await world.run('add', { agentId: 'tls-agent', cert: world.path('cv_ca') }).catch((failure) => failure)
    expect(error).toMatchObject({ code: 'refused', hint: expect.stringContaining('use another directory') })
    expect(fs.readdirSync(world.path('cv_ca')).sort()).toEqual(before)
    expect([machine.received, machine.userKeys]).toEqual([[], []])
  })

  test('a second package re-uses the certificate; a revoked one is replaced', async () => {
    const agent = await world.machine('again-agent')
    const serial = async () =>
      parseCertificate((await (await JSZip.loadAsync(payloadOf(agent))).file('again-agent-cert.crt')?.async('string')) ?? '').serial
    await world.run('add', { agentId: 'again-agent', cert: 'default' })
    const first = await serial()
    await world.run('update', { agentId: 'again-agent', cert: 'default' })
    expect(await serial()).toBe(first)
    const { revokeCertificate } = await import('../../../src/authority/revoke-certificate.ts')
    const { openCa } = await import('../../../src/roles/ca/open-ca.ts')
    const ca = openCa({ directory: world.path('ca'), passwordFile: undefined }, world.home.env)
    await revokeCertificate(await ca.access(), { name: 'again-agent' }, 'superseded')
    await world.run('update', { agentId: 'again-agent', cert: 'default' })
    expect(await serial()).not.toBe(first)
  })

  walk('a notifier that runs out gets a new certificate for the same key: revocations of earlier machines stay believable', async () => {
    const agent = await world.machine('late-agent')
    await world.run('add', { agentId: 'late-agent', cert: 'default' })
    const { openCa } = await import('../../../src/roles/ca/open-ca.ts')
    const access = await openCa({ directory: world.path('ca'), passwordFile: undefined }, world.home.env).access()
    const keys = await makeKeyPair({ type: 'rsa', bits: 2048 })
    const short = await withAuthority(access, (authority) => authority.issue({ name: 'RevocationNotifier', days: 1, keys }))
    await world.run('update', { agentId: 'late-agent', cert: 'default' })
    const zip = await JSZip.loadAsync(payloadOf(agent))
    const next = parseCertificate((await zip.file('RevocationNotifier-cert.crt')?.async('string')) ?? '')
    expect(next.serial).not.toBe(short.certificate.serial)
    expect(next.spki.equals(short.certificate.spki)).toBe(true)
  })

  test('a key with a payload that was encrypted before, and a key alone', async () => {
    const agent = await world.machine('key-agent')
    await encryptUserdata(world.file('plain', 'by other means'), world.home.dir)
    const [keyFile, payloadFile] = [world.path('content_keys.txt'), world.path('content_payload.txt')]
    await world.run('add', { agentId: 'key-agent', keyFile, payloadFile })
    expect(payloadOf(agent).toString()).toBe('by other means')
    await world.run('update', { agentId: 'key-agent', keyFile, verify: true })
    expect(agent.userKeys.at(-1)?.payload).toBeUndefined()
    expect(world.happened()).toContain('key_proved')
  })

  test('nothing: an agent can be attested without any payload', async () => {
    const agent = await world.machine('bare-agent')
    expect(await world.run('add', { agentId: 'bare-agent' })).toMatchObject({
      summary: 'agent bare-agent is attested (no policy: any state is accepted)',
    })
    expect(agent.userKeys).toEqual([])
  })

  test('without waiting, when told so', async () => {
    await world.machine('nowait-agent')
    await world.run('add', { agentId: 'nowait-agent', file: world.file('s', 's'), wait: false })
    expect(world.happened()).toContain('enrolled')
    expect(world.happened()).not.toContain('attested')
  })
})

describe('add finds the agent', () => {
  test('by a unique beginning of its id, and by its address when only one fits', async () => {
    const agent = await world.machine('unique-agent')
    await world.run('add', { agentId: 'uniq' })
    expect(world.events).toContainEqual(expect.objectContaining({ type: 'agent_found', agentId: 'unique-agent', by: 'prefix' }))
    await world.run('update', { targetHost: '127.0.0.1', targetPort: agent.port })
    expect(world.events).toContainEqual(expect.objectContaining({ type: 'agent_found', agentId: 'unique-agent', by: 'address' }))
  })
  test('and refuses to guess', async () => {
    await expect(world.run('add', { targetHost: '127.0.0.1' })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('agents are registered with the address'),
    })
    await world.machine('twin-1')
    await world.machine('twin-2')
    await expect(world.run('add', { agentId: 'twin' })).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('twin-2') })
    await expect(world.run('add', { agentId: 'twin', exactId: true })).rejects.toMatchObject({ code: 'agent_not_found' })
    await expect(world.run('add', { agentId: 'nobody' })).rejects.toMatchObject({ code: 'agent_not_found' })
    await expect(world.run('add', { targetHost: '192.0.2.1' })).rejects.toMatchObject({ code: 'agent_not_found' })
    await expect(world.run('add', {})).rejects.toMatchObject({ code: 'usage' })
    await expect(world.run('add', { agentId: '../x' })).rejects.toMatchObject({ code: 'usage' })
  })
})

describe('add refuses, before any share is sent', () => {
  const lying: [string, string, (agent: SimulatedAgent) => void, Record<string, unknown>][] = [
    ['a quote of another key', 'attestation_failed', () => undefined, { aik_tpm: 'other' }],
    [
      'a transport key that PCR 16 does not bind',
      'attestation_failed',
      (agent) => agent.answer.set('/quotes/identity', (_, honest) => ok({ ...honest, pubkey: otherKey })),
      {},
    ],
    ['a quote for another nonce', 'attestation_failed', (agent) => agent.answer.set('/quotes/identity', replayed(agent)), {}],
    ['an answer that is no quote', 'attestation_failed', (agent) => agent.answer.set('/quotes/identity', () => ok({})), {}],
    [
      'an algorithm that is not accepted',
      'attestation_failed',
      (agent) => agent.answer.set('/quotes/identity', (_, honest) => ok({ ...honest, hash_alg: 'sha1' })),
      {},
    ],
    ['an EK without certificate', 'ek_rejected', () => undefined, { ekcert: null }],
    ['an emulator', 'ek_rejected', () => undefined, { ekcert: 'emulator' }],
    ['an EK certificate for another key', 'ek_rejected', () => undefined, { ek_tpm: 'other' }],
    ['an EK certificate that cannot be read', 'ek_rejected', () => undefined, { ekcert: 'AAAA' }],
    ['an EK that cannot be read', 'ek_rejected', () => undefined, { ek_tpm: 'AAAA' }],
    ['an agent without mutual TLS', 'refused', () => undefined, { mtls_cert: 'disabled' }],
    ['an agent with another certificate', 'tls_failed', () => undefined, { mtls_cert: 'other' }],
    ['an agent that answers 500', 'refused', (agent) => agent.answer.set('/quotes/identity', () => ({ status: 500, body: '' })), {}],
    ['an agent that hangs up', 'unreachable', (agent) => agent.answer.set('/version', () => 'drop'), {}],
  ]
  test.each(lying)('%s', async (what, code, change, registration) => {
    const id = `lying-${lying.findIndex(([text]) => text === what)}`
    const [agent, other] = [await world.machine(id), await world.machine('other')]
    const otherRecord = world.registered.get('other')!
    for (const [field, value] of Object.entries(registration))
      world.registered.get(id)![field] = value === 'other' ? otherRecord[field] : value
    expect(other.port).not.toBe(agent.port)
    change(agent)
    await expect(world.run('add', { agentId: id, file: world.file('s', 's') })).rejects.toMatchObject({ code })
    expect(agent.userKeys).toEqual([])
    await expect(world.run('cvstatus', { agentId: id, exactId: true })).resolves.toMatchObject({ status: undefined })
  })

  test('an agent that the verifier has already', async () => {
    const agent = await world.machine('known')
    await world.run('add', { agentId: 'known' })
    await expect(world.run('add', { agentId: 'known', file: world.file('s', 's') })).rejects.toMatchObject({ code: 'already_exists' })
    expect(agent.userKeys).toEqual([])
  })

  test('an update of a machine that refuses the key share leaves it enrolled and attested as it was', async () => {
    const agent = await world.machine('refusing')
    await world.run('add', { agentId: 'refusing', file: world.file('s', 's') })
    agent.answer.set('/keys/ukey', () => ({ status: 400, body: '{"code":400,"status":"no","results":{}}' }))
    await expect(world.run('update', { agentId: 'refusing', file: world.file('n', 'n') })).rejects.toMatchObject({ code: 'refused' })
    const asked = agent.quotes.length
    await until('asked on', () => agent.quotes.length > asked + 1)
    expect(await world.run('cvstatus', { agentId: 'refusing' })).toMatchObject({ status: { operational_state: 3 } })
    expect(agent.received).toHaveLength(1)
  })
  test('an update with a failing EK check leaves the agent attested', async () => {
    await world.machine('kept')
    await world.run('add', { agentId: 'kept' })
    world.registered.get('kept')!['ekcert'] = null
    await expect(world.run('update', { agentId: 'kept', name: 'new' })).rejects.toMatchObject({ code: 'ek_rejected' })
    expect(await world.run('cvstatus', { agentId: 'kept' })).toMatchObject({ status: { operational_state: 3 } })
  })
})

describe('ek_check_script', () => {
  const script = (text: string) => {
    fs.chmodSync(world.file('check-ek', text), 0o700)
    return { KEYLIME_TENANT_EK_CHECK_SCRIPT: 'check-ek' }
  }
  test('sees upstream’s environment and says yes', async () => {
    await world.machine('scripted')
    const env = script('#!/bin/sh\necho "$AGENT_UUID $PROVKEYS $TPM_CERT_STORE $PWD $EK $EK_TPM $EK_CERT"')
    await world.run('add', { agentId: 'scripted' }, env)
    const passed = world.events.find((event) => event.type === 'ek_script_passed')
    expect(passed?.output).toContain(
      `scripted {} ${world.path('tpm_cert_store')} ${fs.realpathSync(world.home.dir)} -----BEGIN PUBLIC KEY-----`,
    )
    expect(passed?.output).toContain(String(world.registered.get('scripted')!['ekcert']))
  })
  test('says no, or cannot be run', async () => {
    await world.machine('scripted-no')
    const no = script('#!/bin/sh\necho not ours; exit 3')
    await expect(world.run('add', { agentId: 'scripted-no' }, no)).rejects.toMatchObject({
      code: 'ek_rejected',
      message: expect.stringContaining('not ours'),
    })
    await expect(world.run('add', { agentId: 'scripted-no' }, { KEYLIME_TENANT_EK_CHECK_SCRIPT: 'missing' })).rejects.toMatchObject({
      code: 'script_failed',
    })
  })
  test('may stand alone, and without it the missing check is told', async () => {
    await world.machine('unchecked', { ekcert: null })
    await world.run('add', { agentId: 'unchecked' }, { ...script('#!/bin/sh\n'), KEYLIME_TENANT_REQUIRE_EK_CERT: 'false' })
    expect(world.happened()).toContain('ek_script_passed')
    await world.run('update', { agentId: 'unchecked', name: 'new' }, { KEYLIME_TENANT_REQUIRE_EK_CERT: 'false' })
    expect(world.happened()).toContain('ek_unchecked')
  })
})

describe('the verdict', () => {
  test('of a machine that does not meet its policy is told with each failure', async () => {
    await world.machine('bad')
    const error = await world
      .run('add', { agentId: 'bad', file: world.file('s', 's'), tpmPolicy: `{"15":"${'1'.repeat(64)}"}` })
      .catch((error) => error)
    expect(error).toMatchObject({ code: 'attestation_failed' })
    expect(error.message).toMatch(
      /PCR 15 .*pcr_validation\.invalid_pcr_15[\s\S]*found: {4}0{64}[\s\S]*expected: 1{64}[\s\S]*change: {3}\{"tpm_policy":\{"15":[\s\S]*look at:/,
    )
    expect(world.machines.at(-1)?.received).toEqual([])
  })
  test('of a machine that the verifier cannot reach is unreachable, not untrusted', async () => {
    await world.machine('far')
    await expect(world.run('add', { agentId: 'far', cvTargetHost: '127.0.0.2', timeoutSeconds: 8 })).rejects.toMatchObject({
      code: 'unreachable',
    })
  })
  test('that does not come in time is a timeout', async () => {
    const agent = await world.machine('slow')
    agent.answer.set('/quotes/integrity', () => 'hang')
    await expect(world.run('add', { agentId: 'slow', timeoutSeconds: 0.3 })).rejects.toMatchObject({
      code: 'timeout',
      hint: expect.stringContaining('--timeout'),
    })
  })
  test('--verify stops the agent when it cannot prove the key', async () => {
    const agent = await world.machine('forgetful')
    agent.answer.set('/keys/verify', () => ok({ hmac: 'f'.repeat(96) }))
    await expect(
      world.run('add', { agentId: 'forgetful', file: world.file('s', 's'), verify: true, timeoutSeconds: 3 }),
    ).rejects.toMatchObject({ code: 'timeout' })
    expect(await world.run('cvstatus', { agentId: 'forgetful' })).toMatchObject({ status: { operational_state: 10 } })
  })
})

describe('the last step of a delivery', () => {
  const info = (payload: object) => () => ok({ agent_uuid: 'x', payload: { files: 3, script: 'none', error: null, ...payload } })
  test('is told by agents that say how far it got', async () => {
    const agent = await world.machine('telling')
    let asked = 0
    agent.answer.set('/agent/info', () => info(++asked < 3 ? { state: 'unpacking' } : { state: 'unpacked', script: 'running' })())
    await world.run('add', { agentId: 'telling', file: world.file('s', 's') })
    expect(world.events.at(-1)).toEqual({ type: 'unpacked', agentId: 'telling', files: 3, script: 'running' })
  })
  walk('waits for the script when asked, and a script that fails fails the command', async () => {
    const agent = await world.machine('with-script')
    let asked = 0
    const ended: { script: string; script_error?: string } = { script: 'done' }
    agent.answer.set('/agent/info', () => info({ state: 'unpacked', ...(++asked % 3 ? { script: 'running' } : ended) })())
    const options = { agentId: 'with-script', file: world.file('s', 's'), waitScript: true }
    await world.run('add', options)
    expect(world.events.at(-1)).toMatchObject({ type: 'unpacked', script: 'done' })
    Object.assign(ended, { script: 'failed', script_error: 'it ended with exit code 1' })
    await expect(world.run('update', options)).rejects.toMatchObject({
      code: 'script_failed',
      message: expect.stringContaining('its script failed: it ended with exit code 1'),
    })
    agent.answer.set('/agent/info', info({ state: 'unpacked', script: 'running' }))
    await expect(world.run('update', { ...options, timeoutSeconds: 1 })).rejects.toMatchObject({ code: 'timeout' })
    agent.answer.set('/agent/info', info({ state: 'unpacked', script: 'failed', script_error: 'it ended with exit code 1' }))
    const status = await world.run('status', { agentId: 'with-script' })
    expect(resultLines(status, { now: Date.now(), width: undefined }).join('\n')).toMatch(
      /\npayload +3 files unpacked, its script failed: it ended with exit code 1/,
    )
  })
  test('fails the command when the agent could not take the payload', async () => {
    const agent = await world.machine('full')
    agent.answer.set('/agent/info', info({ state: 'failed', error: 'no space left' }))
    await expect(world.run('add', { agentId: 'full', file: world.file('s', 's') })).rejects.toMatchObject({
      code: 'archive_refused',
      message: expect.stringContaining('no space left'),
    })
  })
  test('is a warning when the agent takes no payloads', async () => {
    const agent = await world.machine('keyonly')
    agent.answer.set('/agent/info', info({ state: 'not_allowed' }))
    await world.run('add', { agentId: 'keyonly', file: world.file('s', 's') })
    expect(world.events.at(-1)).toMatchObject({ type: 'warning', text: expect.stringContaining('does not accept payloads') })
  })
})

describe('what cannot be delivered is told before anything is sent', () => {
  test.each([
    ['two sources', { file: 'a', cert: 'default' }, 'usage'],
    ['--include alone', { include: ['x'] }, 'usage'],
    ['-p alone', { payloadFile: 'x' }, 'usage'],
    ['--verify alone', { verify: true }, 'usage'],
    ['a missing file', { file: '/nonexistent' }, 'not_found'],
    ['a missing include directory', { cert: 'default', include: ['/nonexistent'] }, 'not_found'],
    ['a bad tpm_policy', { tpmPolicy: '{"16":"00"}' }, 'invalid_request'],
    ['a missing runtime policy', { runtimePolicy: '/nonexistent' }, 'not_found'],
  ])('%s', async (_, options, code) => {
    const agent = await world.machine('refused')
    await expect(world.run('add', { agentId: 'refused', ...options })).rejects.toMatchObject({ code })
    expect(agent.userKeys).toEqual([])
  })
  test('too much, a broken key file, a link in the directory', async () => {
    await world.machine('limits')
    const add = (options: object) => world.run('add', { agentId: 'limits', ...options })
    await expect(add({ file: world.file('big', Buffer.alloc(900_000)) })).rejects.toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('786400'),
    })
    world.file('many/a', Buffer.alloc(500_000))
    world.file('many/b', Buffer.alloc(500_000))
    await expect(add({ cert: 'default', include: [world.path('many')] })).rejects.toMatchObject({ code: 'payload_too_large' })
    await expect(add({ keyFile: world.file('keys', 'AAAA\nBBBB\n') })).rejects.toMatchObject({ code: 'malformed' })
    world.file('linked/file', 'x')
    fs.symlinkSync('/etc/passwd', world.path('linked/passwd'))
    await expect(add({ cert: 'default', include: [world.path('linked')] })).rejects.toMatchObject({
      code: 'archive_refused',
      message: expect.stringContaining('symbolic link'),
    })
  })
})

const ok = (results: object) => ({ status: 200, body: JSON.stringify({ code: 200, status: 'Success', results }) })
const otherKey = '-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMF\n-----END PUBLIC KEY-----\n'

/** A good quote, but for a nonce of another time. */
const replayed = (agent: SimulatedAgent) => (_: URLSearchParams, honest: object) =>
  ok({
    ...honest,
    quote: softwareQuote(agent.ak, { nonce: Buffer.from('of-another-time'), values: pcrValues([16], agent.transportKey) }).text,
  })
