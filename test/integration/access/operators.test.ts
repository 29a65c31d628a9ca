import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import JSZip from 'jszip'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { issueOperator } from '../../../src/authority/issue-operator.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { reissueAuthority } from '../../../src/authority/reissue-authority.ts'
import { servicePasswordFile } from '../../../src/authority/service-password.ts'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { publicKeyHash } from '../../../src/core/pki/authorized-clients.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { parseCrl } from '../../../src/core/pki/crl.ts'
import { type Authority, issueCertificate, makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { givesRoles, roleOf } from '../../../src/core/pki/roles.ts'
import { runUpstream } from '../../../src/roles/ca/upstream.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { recordingLogger } from '../ca/listener-bed.ts'
import { issueAuthorityBelow } from './authority-below.ts'
import { type Caller, call } from './callers.ts'

const DAY_MS = 86_400_000
let home: ReturnType<typeof temporaryKeylimeDir>
let access: CaAccess
const ends: (() => Promise<unknown>)[] = []
const file = (name: string) => path.join(home.dir, 'cv_ca', name)
const read = (name: string) => fs.readFileSync(file(name), 'utf8')
const of = (name: string): Caller => ({ cert: read(`${name}-cert.crt`), key: read(`${name}-private.pem`) })

beforeEach(() => {
  home = temporaryKeylimeDir()
  giveNotifierKey(home.dir)
  const settings = caSettings(loadConfig('ca', caOptions, { env: home.env }).values)
  const directory = path.join(home.dir, 'cv_ca')
  access = {
    directory,
    /** Where a verifier made the authority, it made the password too. */
    get password() {
      const file = servicePasswordFile(directory)
      return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : 'default'
    },
    settings,
    now: Date.now,
  }
})
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  home.remove()
})

async function startVerifierWith(settings: Record<string, string> = {}, logger = testLogger('verifier')) {
  const verifier = await startVerifier(loadVerifierSettings({ ...home.env, ...settings }), logger)
  let stopped = false
  const stop = async () => {
    if (!stopped) await verifier.stop()
    stopped = true
  }
  ends.push(stop)
  const list = async (caller: Caller, agent?: https.Agent) =>
    (await call({ port: verifier.port, method: 'GET', path: '/v2.6/agents/', ...(agent ? { agent } : {}) }, caller)).status
  return { list, stop, verifier }
}

const issue = (name: string, role?: 'operator') =>
  withAuthority(access, (authority) => authority.issue({ name, ...(role ? { role } : {}) }))
const revoke = (name: string) => withAuthority(access, (authority) => authority.revoke(parseCertificate(read(`${name}-cert.crt`)).serial))

async function unpacked(zip: string): Promise<Record<string, string>> {
  const { files } = await JSZip.loadAsync(fs.readFileSync(zip))
  return Object.fromEntries(await Promise.all(Object.values(files).map(async (entry) => [entry.name, await entry.async('string')])))
}

test('a second operator works from his package, and is taken away by one command, also on an open connection and after a restart', async () => {
  const { list, stop } = await startVerifierWith()
  const registrar = await startRegistrar(loadRegistrarSettings(home.env), testLogger('registrar'))
  ends.push(() => registrar.stop())
  const { file: zip, certificate } = await issueOperator(access, { name: 'alice', days: undefined, csr: undefined, replace: false })
  expect(fs.statSync(zip).mode & 0o777).toBe(0o600)
  const entries = await unpacked(zip)
  expect(Object.keys(entries)).toEqual(['client-cert.crt', 'client-private.pem', 'cacert.crt'])
  expect(fs.existsSync(file('alice-private.pem'))).toBe(false)
  expect(await withAuthority(access, async (authority) => authority.privateKeyOf('alice'))).toBeUndefined()
  const alice = { cert: entries['client-cert.crt']!, key: entries['client-private.pem']! }
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
  const atRegistrar = () => call({ port: registrar.tlsPort, method: 'GET', path: '/v2.6/agents/' }, alice)
  expect([await list(alice, agent), (await atRegistrar()).status]).toEqual([200, 200])
  await revoke('alice')
  expect([await list(alice, agent), await list(alice), (await atRegistrar()).status, await list(of('client'))]).toEqual([
    403, 403, 403, 200,
  ])
  agent.destroy()
  await stop()
  const again = await startVerifierWith()
  expect([await again.list(alice), await again.list(of('client'))]).toEqual([403, 200])
  expect(certificate.serial).toBeGreaterThan(1n)
})

walk('an operator’s name is used once; --replace takes the old certificate away; a signing request keeps the key', async () => {
  await ensureTls()
  const request = { name: 'bob', days: undefined, csr: undefined, replace: false }
  const first = await issueOperator(access, request)
  await expect(issueOperator(access, request)).rejects.toMatchObject({ code: 'already_exists' })
  const second = await issueOperator(access, { ...request, replace: true })
  expect(second.revoked).toEqual([first.certificate.serial])
  for (const name of ['server', 'client', 'RevocationNotifier'])
    await expect(issueOperator(access, { ...request, name, replace: true })).rejects.toMatchObject({ code: 'invalid_request' })
  const [key, csr] = [path.join(home.dir, 'k.pem'), path.join(home.dir, 'r.csr')]
  execFileSync(
    'openssl',
    ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-subj', '/CN=x', '-out', csr],
    { stdio: 'ignore' },
  )
  const third = await issueOperator(access, { ...request, name: 'carol', csr })
  expect(Object.keys(await unpacked(third.file))).toEqual(['client-cert.crt', 'cacert.crt'])
  expect(roleOf(third.certificate)).toBe('operator')
})

walk('a list that is lost, faulty or older than the one before changes nothing while the server runs; a start mends its own', async () => {
  const log = recordingLogger()
  const { list, stop } = await startVerifierWith({}, log.logger)
  const before = fs.readFileSync(file('cacrl.der'))
  await issue('eve', 'operator')
  const eve = of('eve')
  expect(await list(eve)).toBe(200)
  await revoke('eve')
  expect(await list(eve)).toBe(403)
  const good = fs.readFileSync(file('cacrl.der'))
  for (const [bytes, text] of [
    [before, 'is older than the previous one'],
    [good.subarray(0, 100), 'cannot be used'],
    [Buffer.from('nothing'), 'holds no revocation list'],
    [null, 'it is gone'],
    ['loop', 'ELOOP'],
  ] as const) {
    fs.rmSync(file('cacrl.der'), { force: true })
    if (bytes === 'loop') fs.symlinkSync('cacrl.der', file('cacrl.der'))
    else if (bytes) fs.writeFileSync(file('cacrl.der'), bytes)
    expect([await list(eve), await list(of('client'))]).toEqual([403, 200])
    expect(log.lines.filter((line) => line.startsWith('error')).at(-1)).toContain(text)
  }
  for (const name of ['cacrl.der', 'cacrl.pem']) fs.rmSync(file(name))
  await stop()
  const again = await startVerifierWith()
  expect([await again.list(eve), await again.list(of('client'))]).toEqual([403, 200])
})

test('a faulty list, one that is missing where it must be, and one of another authority keep a server from starting', async () => {
  await ensureTls()
  const settings = { KEYLIME_VERIFIER_TLS_DIR: 'default' }
  const good = fs.readFileSync(file('cacrl.der'))
  fs.writeFileSync(file('cacrl.der'), 'x')
  await expect(startVerifierWith(settings)).rejects.toMatchObject({
    code: 'config_invalid',
    hint: expect.stringContaining('keylime ca crl'),
  })
  for (const name of ['cacrl.der', 'cacrl.pem']) fs.rmSync(file(name))
  await expect(startVerifierWith(settings)).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining('it is missing'),
  })
  const other = temporaryKeylimeDir()
  await ensureTlsDirectory(tlsRequest(other.dir))
  fs.copyFileSync(path.join(other.dir, 'cv_ca/cacrl.der'), file('cacrl.der'))
  other.remove()
  await expect(startVerifierWith(settings)).rejects.toThrow('no trusted authority has signed it')
  fs.writeFileSync(file('cacrl.der'), good)
  const named = { ...settings, KEYLIME_VERIFIER_TRUSTED_CLIENT_CRL: 'none.der' }
  await expect(startVerifierWith(named)).rejects.toMatchObject({ code: 'config_invalid' })
  expect(await (await startVerifierWith(settings)).list(of('client'))).toBe(200)
})

test('a list that has ended still counts, and is told', async () => {
  await ensureTls()
  await issue('eve', 'operator')
  const past = { ...access, now: () => Date.now() - 30 * DAY_MS }
  await withAuthority(past, (authority) => authority.revoke(parseCertificate(read('eve-cert.crt')).serial))
  const log = recordingLogger()
  const { list } = await startVerifierWith({ KEYLIME_VERIFIER_TLS_DIR: 'default' }, log.logger)
  expect([await list(of('eve')), await list(of('client'))]).toEqual([403, 200])
  expect(log.lines.filter((line) => line.includes('what it says still counts'))).toHaveLength(1)
})

walk('with tls_dir = generate a list that has ended or began in the future is made anew, and a revoked client too', async () => {
  await ensureTls()
  for (const days of [-30, 400]) {
    await withAuthority({ ...access, now: () => Date.now() + days * DAY_MS }, (authority) => authority.publishCrl())
    const { stop } = await startVerifierWith()
    const list = parseCrl(fs.readFileSync(file('cacrl.der')))
    expect(Math.abs(list.thisUpdate - Date.now())).toBeLessThan(DAY_MS)
    await stop()
  }
  const old = of('client')
  await revoke('client')
  const { list } = await startVerifierWith()
  expect(of('client').cert).not.toBe(old.cert)
  expect([await list(old), await list(of('client'))]).toEqual([403, 200])
})

walk('authorized_clients: by name, by key, by role, and anybody', async () => {
  await ensureTls()
  await issue('alice', 'operator')
  await issue('web1')
  const key = publicKeyHash(parseCertificate(read('web1-cert.crt')))
  const callers = ['client', 'alice', 'web1', 'server'].map(of)
  for (const [setting, expected] of [
    ['default', [200, 200, 403, 403]],
    ['role:operator', [200, 200, 403, 403]],
    ['name:alice', [403, 200, 403, 403]],
    ['name:web1', [403, 403, 403, 403]],
    [`key:${key}`, [403, 403, 200, 403]],
    [`['name:alice', 'key:${key.toUpperCase()}']`, [403, 200, 200, 403]],
    ['any', [200, 200, 200, 403]],
  ] as const) {
    const { list, stop } = await startVerifierWith({ KEYLIME_VERIFIER_AUTHORIZED_CLIENTS: setting })
    expect([setting, await Promise.all(callers.map((caller) => list(caller)))]).toEqual([setting, expected])
    await stop()
  }
  for (const wrong of ['', 'alice', 'role:admin', 'key:12'])
    expect(() => loadVerifierSettings({ ...home.env, KEYLIME_VERIFIER_AUTHORIZED_CLIENTS: wrong })).toThrow(/authorized_clients/)
})

const tlsRequest = (keylimeDir: string) =>
  ({
    role: 'verifier',
    keylimeDir,
    tlsDir: 'generate',
    names: [],
    caPassword: 'default',
    settings: access.settings,
    serverKeyPassword: '',
    clientKeyPassword: '',
    now: Date.now,
  }) as const
const ensureTls = () => ensureTlsDirectory(tlsRequest(home.dir))

/** As the release before roles, and upstream, made them: in upstream's form, server and client alike. */
async function withoutRoles(): Promise<void> {
  Object.assign(process.env, { KEYLIME_DIR: home.dir, KEYLIME_CA_PASSWORD: 'default ', KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa' })
  try {
    const run = async (...args: string[]) => expect(await runUpstream(['-d', path.join(home.dir, 'cv_ca'), ...args])).toBe(0)
    await run('-c', 'init')
    for (const name of ['server', 'client', 'payload']) await run('-c', 'create', '-n', name)
  } finally {
    for (const name of ['KEYLIME_DIR', 'KEYLIME_CA_PASSWORD', 'KEYLIME_CA_CERT_KEY_TYPE']) delete process.env[name]
  }
  access = { ...access, password: 'default ' }
}

walk('an installation from before there were roles goes on as before, says so, and becomes strict by one command', async () => {
  await withoutRoles()
  const log = recordingLogger()
  const { list, stop } = await startVerifierWith({}, log.logger)
  expect([await list(of('client')), await list(of('payload')), await list(of('server'))]).toEqual([200, 200, 200])
  expect(log.lines.filter((line) => line.includes('gives no roles'))).toEqual([expect.stringContaining('keylime ca reissue')])
  await stop()
  const [before, oldAuthority] = [of('client'), parseCertificate(read('cacert.crt'))]
  const { names } = await reissueAuthority(access)
  expect(names).toEqual(['server', 'client'])
  const authority = parseCertificate(read('cacert.crt'))
  expect([givesRoles(authority), authority.subject, authority.notAfter]).toEqual([true, oldAuthority.subject, oldAuthority.notAfter])
  expect([authority.spki.equals(oldAuthority.spki), authority.serial === oldAuthority.serial]).toEqual([true, false])
  expect(of('client').key).toBe(before.key)
  const strict = recordingLogger()
  const again = await startVerifierWith({}, strict.logger)
  const callers = [of('client'), of('payload'), of('server'), before]
  expect(await Promise.all(callers.map((caller) => again.list(caller)))).toEqual([200, 403, 403, 403])
  expect(strict.lines.filter((line) => line.includes('roles'))).toEqual([])
  expect((await reissueAuthority(access)).names).toEqual([])
})

walk('an authority in between is believed as the TLS library does; beside an authority with roles it must be trusted itself', async () => {
  await ensureTls()
  const day = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS }
  const make = async (name: string) => ({ pair: await makeKeyPair({ type: 'ecdsa' }), subject: [{ oid: '2.5.4.3', value: name }] })
  const makeRoot = async (): Promise<Authority> => {
    const { pair, subject } = await make('Root')
    const certificate = await makeAuthority({ subject, ...pair, ...day, serial: 1n, crlUrl: '', givesRoles: false })
    return { certificate, key: pair.privateKey }
  }
  const root = await makeRoot()
  const below = issueAuthorityBelow(root, 'Below')
  const forged = issueAuthorityBelow(await makeRoot(), 'Below')
  const person = await make('person')
  const leaf = await issueCertificate(below, {
    ...day,
    subject: person.subject,
    publicKey: person.pair.publicKey,
    serial: 9n,
    alternativeNames: [],
    crlUrl: '',
  })
  fs.writeFileSync(path.join(home.dir, 'root.pem'), root.certificate.pem)
  fs.writeFileSync(path.join(home.dir, 'below.pem'), below.certificate.pem)
  const trusted = (...files: string[]) => ({
    KEYLIME_VERIFIER_TRUSTED_CLIENT_CA: files.map((name) => path.resolve(home.dir, name)).join(','),
  })
  const { list, stop } = await startVerifierWith(trusted('root.pem'))
  const key = privateKeyPem(person.pair.privateKey)
  expect(await list({ cert: leaf.pem + below.certificate.pem, key })).toBe(200)
  expect(await list({ cert: leaf.pem + forged.certificate.pem, key })).toBe(403)
  expect(await list({ cert: leaf.pem, key })).toBe(403)
  await stop()
  const cert = leaf.pem + below.certificate.pem
  for (const [files, status] of [
    [['root.pem', 'cv_ca/cacert.crt'], 403],
    [['root.pem', 'below.pem', 'cv_ca/cacert.crt'], 200],
  ] as const) {
    const next = await startVerifierWith(trusted(...files))
    expect([files, await next.list({ cert, key })]).toEqual([files, status])
    await next.stop()
  }
})

test('the certificate of a machine is not taken for a server’s, nor is an operator’s', async () => {
  await ensureTls()
  for (const [name, role] of [
    ['machine', undefined],
    ['alice', 'operator'],
  ] as const)
    await issue(name, role)
  for (const [name, expected] of [
    ['server', 200],
    ['machine', 'is not a server’s'],
    ['alice', 'TLS failed'],
  ] as const) {
    const listener = https.createServer({ ...of(name) }, (_, response) => response.end('{}'))
    await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done))
    const client = adminClient(home.dir, (listener.address() as AddressInfo).port)
    const answer = await client.request('GET', '/version').then(
      ({ status }) => status,
      (error: Error) => error.message,
    )
    if (expected === 200) expect(answer).toBe(200)
    else expect(answer).toContain(expected)
    await client.close()
    listener.close()
  }
})
