import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { currentCertificate } from '../../../src/authority/current-certificate.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { revokedSerialsOf } from '../../../src/authority/revocation-list.ts'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate, parseCertificates } from '../../../src/core/pki/certificate.ts'
import { isSignedBy } from '../../../src/core/pki/chain.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { openssl, recordingLogger } from '../ca/listener-bed.ts'

const DAY_MS = 86_400_000
let home: ReturnType<typeof temporaryKeylimeDir>
let access: CaAccess
const file = (name: string) => path.join(access.directory, name)
const read = (name: string) => fs.readFileSync(file(name), 'utf8')
const authorities = () => parseCertificates(read('cacert.crt'))

/** What `tls_dir = generate` made so many days ago. */
async function made(daysAgo = 0): Promise<void> {
  const { settings, password: caPassword, directory } = access
  const now = () => Date.now() - daysAgo * DAY_MS
  const request = { role: 'verifier', keylimeDir: path.dirname(directory), tlsDir: 'generate', names: ['127.0.0.1'] } as const
  await ensureTlsDirectory({ ...request, settings, caPassword, serverKeyPassword: '', clientKeyPassword: '', now })
}

const operator = (name: string) =>
  withAuthority(access, async (authority) => {
    const { certificate, privateKeyPem } = await authority.issue({ name, role: 'operator' })
    return { serial: certificate.serial, cert: certificate.pem, key: privateKeyPem! }
  })

beforeEach(() => {
  home = temporaryKeylimeDir()
  giveNotifierKey(home.dir)
  const settings = caSettings(loadConfig('ca', caOptions, { env: home.env }).values)
  access = { directory: path.join(home.dir, 'cv_ca'), password: 'default', settings, now: Date.now }
})
afterEach(() => home.remove())

test('both authorities count until it is finished, on services that run; then no certificate of the old one counts', async () => {
  await made()
  const log = recordingLogger()
  const verifier = await startVerifier(loadVerifierSettings(home.env), log.logger, { lookMs: 10 })
  const registrar = await startRegistrar(loadRegistrarSettings(home.env), log.logger, { lookMs: 10 })
  const old = read('cacert.crt')
  const [alice, eve] = [await operator('alice'), await operator('eve')]
  const ask = async (port: number, changes: object = {}) => {
    const client = adminClient(home.dir, port, changes)
    try {
      return (await client.request('GET', '/v2.6/agents/')).status
    } catch (error) {
      return (error as { code: string }).code
    } finally {
      await client.close()
    }
  }
  const everywhere = async (changes: object) => [await ask(verifier.port, changes), await ask(registrar.tlsPort, changes)]

  await rotateAuthority(access)
  const [next] = authorities()
  expect(authorities().map(({ pem }) => pem)).toEqual([next!.pem, old])
  await expect(rotateAuthority(access)).rejects.toMatchObject({ code: 'already_exists', hint: expect.stringContaining('--finish') })
  const bob = await operator('bob')
  expect(isSignedBy(parseCertificate(bob.cert), next!)).toBe(true)
  const ofBob = { cert: bob.cert, key: bob.key }
  await until('both services to take it', async () => (await everywhere({ ...ofBob, ca: [next!.pem] })).every((status) => status === 200))
  expect(await everywhere({ cert: alice.cert, key: alice.key, ca: [old] })).toEqual([200, 200])
  expect(await everywhere({})).toEqual([200, 200])
  await withAuthority(access, (authority) => authority.revoke(eve.serial))
  expect(await everywhere({ cert: eve.cert, key: eve.key })).toEqual([403, 403])

  await expect(finishRotation(access, { force: false })).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('alice'),
  })
  await finishRotation(access, { force: true })
  expect(authorities().map(({ pem }) => pem)).toEqual([next!.pem])
  await until('both services to drop it', async () => {
    const answers = await everywhere({ cert: alice.cert, key: alice.key })
    return answers.every((status) => status === 403)
  })
  expect(await everywhere({})).toEqual([200, 200])
  expect(await everywhere({ ca: [old] })).toEqual([200, 200]) // who was off finds them by the bridge
  expect(fs.readdirSync(access.directory).filter((name) => /bridge|before|retired/.test(name))).toEqual([
    'cacert-bridge-before.crt',
    'cacert-retired.pem',
    'client-cert-before.crt',
  ])
  await expect(finishRotation(access, { force: true })).rejects.toMatchObject({ code: 'not_found' })
  await Promise.all([verifier.stop(), registrar.stop()])
})

test('OpenSSL believes the new server certificate by the old authority and the bridge alone, and both lists', async () => {
  await made()
  const old = read('cacert.crt')
  await rotateAuthority(access)
  fs.writeFileSync(file('old.pem'), old)
  const verify = (...args: string[]) => openssl('verify', '-x509_strict', ...args)
  expect(
    verify('-purpose', 'sslserver', '-CAfile', file('old.pem'), '-untrusted', file('cacert-bridge.crt'), file('server-cert.crt')),
  ).toContain('OK')
  expect(verify('-crl_check', '-CAfile', file('cacert.crt'), '-CRLfile', file('cacrl.pem'), file('server-cert.crt'))).toContain('OK')
  fs.writeFileSync(file('before.pem'), openssl('crl', '-inform', 'DER', '-in', file('cacrl-before.der')))
  expect(verify('-crl_check', '-CAfile', file('old.pem'), '-CRLfile', file('before.pem'), file('client-cert.crt'))).toContain('OK')
})

test('a client’s certificate that is due meanwhile is of the authority before, which agents know; the address of the list keeps both', async () => {
  await made(250)
  const old = parseCertificate(read('cacert.crt'))
  await rotateAuthority(access)
  await made()
  const client = parseCertificate(read('client-cert.crt'))
  expect([client.notAfter > Date.now() + 300 * DAY_MS, isSignedBy(client, old)]).toEqual([true, true])
  await withAuthority({ ...access, settings: { ...access.settings, crlUrl: 'http://ca.example/crl' } }, (authority) => authority.refresh())
  expect(authorities()).toHaveLength(2)
})

test('what a list of the authority before revokes stays revoked: with a key store of yesterday, and in the list of another copy', async () => {
  await made()
  const copy = { ...access, directory: path.join(home.dir, 'copy') }
  fs.cpSync(access.directory, copy.directory, { recursive: true })
  const revoke = (of: CaAccess, name: string) =>
    withAuthority(of, async (authority) => {
      const { serial } = (await authority.issue({ name })).certificate
      await authority.revoke(serial)
      return serial
    })
  const store = read('private.yml')
  const eve = await revoke(access, 'eve')
  fs.writeFileSync(file('private.yml'), store)
  await rotateAuthority(access)
  expect(await revokedSerialsOf(access.directory)).toEqual([eve])
  const mallory = await revoke(copy, 'mallory')
  fs.copyFileSync(path.join(copy.directory, 'cacrl.der'), file('cacrl.der'))
  await withAuthority(access, (authority) => authority.publishCrl())
  expect(await revokedSerialsOf(access.directory)).toEqual([eve, mallory])
})

walk('a program that was killed before the key changed leaves an authority that signs, and can be begun again', async () => {
  await made()
  const old = parseCertificate(read('cacert.crt'))
  const store = read('private.yml')
  await rotateAuthority(access)
  fs.writeFileSync(file('private.yml'), store)
  expect(isSignedBy(parseCertificate((await operator('carol')).cert), old)).toBe(true)
  await expect(finishRotation(access, { force: true })).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining('still'),
  })
  await rotateAuthority(access)
  expect(authorities()).toHaveLength(2)
  const [next] = authorities()
  expect(isSignedBy(parseCertificate((await operator('dave')).cert), next!)).toBe(true)
})

walk('an end that was cut short after the old authority was dropped signs by the next, and can be ended again', async () => {
  await made()
  await rotateAuthority(access)
  const files = ['private.yml', 'cacrl-before.der', 'cacrl.der', 'cacert-bridge.crt'].map(
    (name) => [name, fs.readFileSync(file(name))] as const,
  )
  await finishRotation(access, { force: true })
  for (const [name, bytes] of files) fs.writeFileSync(file(name), bytes) // as it is when only cacert.crt was written
  fs.rmSync(file('cacert-bridge-before.crt'))
  const [next, ...others] = authorities()
  expect(others).toEqual([])
  expect(isSignedBy(parseCertificate((await operator('carol')).cert), next!)).toBe(true)
  await finishRotation(access, { force: false })
  expect([fs.existsSync(file('cacrl-before.der')), fs.existsSync(file('cacert-bridge.crt'))]).toEqual([false, false])
  expect([read('cacert-bridge-before.crt'), read('client-cert-before.crt')]).toEqual([
    expect.stringContaining('BEGIN CERTIFICATE'),
    expect.stringContaining('BEGIN CERTIFICATE'),
  ])
  await expect(finishRotation(access, { force: false })).rejects.toMatchObject({ code: 'not_found' })
})

test('machines get a certificate of the next authority, and both authorities, with their next payload', async () => {
  const machines = { ...access, directory: fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-rotation-')), password: 'x' }
  await initCaDirectory(machines)
  const give = () => withAuthority(machines, (authority) => currentCertificate(authority, 'm1'))
  const first = await give()
  expect((await give()).certificate.serial).toBe(first.certificate.serial)
  await rotateAuthority(machines)
  await expect(finishRotation(machines, { force: false })).rejects.toThrow('m1')
  const second = await give()
  const both = parseCertificates(fs.readFileSync(path.join(machines.directory, 'cacert.crt'), 'utf8'))
  expect([both.length, isSignedBy(second.certificate, both[0]!)]).toEqual([2, true])
  await finishRotation(machines, { force: false })
  fs.rmSync(machines.directory, { recursive: true })
})

walk('eleven years later a start says what ended, and a rotation lets everything go on', async () => {
  await made(11 * 365)
  await expect(made()).rejects.toMatchObject({
    message: expect.stringMatching(/ended on 20/),
    hint: expect.stringContaining('keylime ca rotate'),
  })
  await rotateAuthority(access)
  await finishRotation(access, { force: true })
  const log = recordingLogger()
  const verifier = await startVerifier(loadVerifierSettings(home.env), log.logger)
  const client = adminClient(home.dir, verifier.port)
  expect((await client.request('GET', '/v2.6/agents/')).status).toBe(200)
  expect(log.lines.filter((line) => /ended on/.test(line))).toEqual([])
  await client.close()
  await verifier.stop()
})
