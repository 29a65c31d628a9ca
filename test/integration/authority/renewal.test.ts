import fs from 'node:fs'
import path from 'node:path'
import tls from 'node:tls'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { recordingLogger } from '../ca/listener-bed.ts'

const DAY_MS = 86_400_000
let home: ReturnType<typeof temporaryKeylimeDir>
/** How many days the clock of the services is behind. */
let behind = 0
const clock = { now: () => Date.now() - behind * DAY_MS }
const file = (name: string) => path.join(home.dir, 'cv_ca', name)
const read = (name: string) => fs.readFileSync(file(name), 'utf8')
const certificate = (name: string) => parseCertificate(read(`${name}-cert.crt`))

const request = (changes: object = {}) => ({
  role: 'verifier' as const,
  keylimeDir: home.dir,
  tlsDir: 'generate',
  names: [],
  settings: caSettings(loadConfig('ca', caOptions, { env: home.env }).values),
  caPassword: 'default',
  serverKeyPassword: '',
  clientKeyPassword: '',
  now: clock.now,
  ...changes,
})

beforeEach(() => {
  home = temporaryKeylimeDir()
  giveNotifierKey(home.dir)
  behind = 0
})
afterEach(() => home.remove())

/** Serial and PEM of the certificate that a server shows to whoever connects now. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(parseCertificate(socket.getPeerX509Certificate()!.raw).pem)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('before two thirds of their life nothing is made anew, after that each certificate once, for the key that it has', async () => {
  behind = 300
  await ensureTlsDirectory(request())
  fs.chmodSync(file('server-cert.crt'), 0o644)
  const before = { server: certificate('server'), client: certificate('client'), key: read('client-private.pem') }
  behind = 60
  await ensureTlsDirectory(request())
  expect(certificate('server').serial).toBe(before.server.serial)
  behind = 50
  await Promise.all([1, 2, 3].map(() => ensureTlsDirectory(request())))
  const [server, client] = [certificate('server'), certificate('client')]
  expect(new Set([server, client, before.server, before.client].map(({ serial }) => serial)).size).toBe(4)
  expect([server.spki, client.spki, read('client-private.pem')]).toEqual([before.server.spki, before.client.spki, before.key])
  expect((fs.statSync(file('server-cert.crt')).mode & 0o777).toString(8)).toBe('644')
  expect((fs.statSync(file('client-private.pem')).mode & 0o777).toString(8)).toBe('640')
})

test.each([
  ['another password', () => undefined, /set \[ca\] password/, { caPassword: 'other' }],
  ['its key elsewhere', () => fs.rmSync(file('private.yml')), /kept elsewhere/, {}],
])(
  'an authority with %s cannot renew: the service says what to do while they last, and does not start after that',
  async (_, change, words, changes) => {
    behind = 300
    await ensureTlsDirectory(request())
    change()
    const said: string[] = []
    behind = 0
    await ensureTlsDirectory(request({ ...changes, warn: (text: string) => said.push(text) }))
    expect(said).toEqual([expect.stringMatching(words)])
    behind = -100
    await expect(ensureTlsDirectory(request(changes))).rejects.toMatchObject({ code: expect.any(String) })
  },
)

walk('a verifier that runs for 300 days has new certificates, and who is connected stays so; the registrar takes them too', async () => {
  behind = 300
  const log = recordingLogger()
  const given = { clock, lookMs: 10 }
  const verifier = await startVerifier(loadVerifierSettings(home.env), log.logger, given)
  const registrar = await startRegistrar(loadRegistrarSettings(home.env), log.logger, given)
  const old = certificate('server')
  const client = adminClient(home.dir, verifier.port)
  const ask = async () => (await client.request('GET', '/v2.6/agents/')).status
  expect([await ask(), await shown(verifier.port), await shown(registrar.tlsPort)]).toEqual([200, old.pem, old.pem])
  behind = 0
  const fresh = await until('another certificate', () => (certificate('server').serial !== old.serial ? certificate('server') : undefined))
  for (const port of [verifier.port, registrar.tlsPort])
    await until('the new certificate', async () => (await shown(port)) === certificate('server').pem)
  expect(fresh.notAfter).toBeGreaterThan(Date.now() + 364 * DAY_MS)
  expect(await ask()).toBe(200)
  const later = adminClient(home.dir, verifier.port)
  expect((await later.request('GET', '/v2.6/agents/')).status).toBe(200)
  expect(log.lines).toContainEqual(expect.stringContaining('server-cert.crt is renewed: two thirds of its life are over'))
  await Promise.all([client.close(), later.close(), verifier.stop(), registrar.stop()])
})

test('files of the operator are read again when they change; half a pair is told and not taken', async () => {
  await ensureTlsDirectory(request())
  const log = recordingLogger()
  const settings = loadVerifierSettings({ ...home.env, KEYLIME_VERIFIER_TLS_DIR: 'default' })
  const verifier = await startVerifier(settings, log.logger, { lookMs: 10 })
  const before = read('server-cert.crt')
  const access = { directory: path.join(home.dir, 'other'), password: 'x', settings: request().settings, now: clock.now }
  await initCaDirectory(access)
  const other = await withAuthority(access, (authority) => authority.issue({ name: 'server', role: 'server' }))
  fs.writeFileSync(file('server-private.pem'), other.privateKeyPem!)
  await until('the complaint', () => log.lines.some((line) => line.includes('is not the key of the certificate')))
  expect(await shown(verifier.port)).toBe(before)
  fs.writeFileSync(file('server-cert.crt'), other.certificate.pem)
  await until('the other certificate', async () => (await shown(verifier.port)) === other.certificate.pem)
  expect(log.lines.filter((line) => line.includes('cannot be taken'))).toHaveLength(1)
  await verifier.stop()
})

walk('what ends soon is told once a day', async () => {
  behind = 340
  await ensureTlsDirectory(request())
  behind = 0
  const log = recordingLogger()
  const verifier = await startVerifier(loadVerifierSettings({ ...home.env, KEYLIME_VERIFIER_TLS_DIR: 'default' }), log.logger, {
    clock,
    lookMs: 10,
  })
  const told = () => log.lines.filter((line) => /server_cert: .* ends on .*, in \d+ days/.test(line)).length
  expect(told()).toBe(1)
  for (const day of [1, 2, 3]) {
    behind = -day
    await until(`day ${day}`, () => told() === day + 1)
  }
  await verifier.stop()
})
