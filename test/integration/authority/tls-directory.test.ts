import fs from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { checkTlsDirectory, ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { alternativeNames } from '../../../src/core/pki/subject-alternative-names.ts'
import { loadTlsIdentity, tlsDirectory } from '../../../src/io/files/tls-identity.ts'

const settings = caSettings(
  loadConfig('ca', caOptions, { env: { KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa' }, roots: { etc: '/nonexistent', usrEtc: '/nonexistent' } })
    .values,
)
let keylimeDir: string
beforeEach(() => {
  keylimeDir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-tls-'))
})
afterEach(() => fs.rmSync(keylimeDir, { recursive: true }))

const request = (role: 'verifier' | 'registrar', tlsDir: string, extra: object = {}) => ({
  role,
  keylimeDir,
  tlsDir,
  names: ['0.0.0.0', 'verifier.example.org', '10.1.2.3'],
  caPassword: 'default',
  settings,
  serverKeyPassword: '',
  clientKeyPassword: '',
  now: Date.now,
  ...extra,
})
const identity = (side: 'server' | 'client', directory: string, extra: object = {}) =>
  loadTlsIdentity({ keylimeDir, directory, side, cert: 'default', key: 'default', keyPassword: '', trusted: ['default'], ...extra })

test('generate makes what a mutual TLS connection needs, once', async () => {
  const [directory, same] = await Promise.all([
    ensureTlsDirectory(request('verifier', 'generate')),
    ensureTlsDirectory(request('verifier', 'generate')),
  ])
  expect(directory).toBe(path.join(keylimeDir, 'cv_ca'))
  expect(same).toBe(directory)
  const before = fs.readFileSync(path.join(directory, 'server-cert.crt'), 'utf8')
  await ensureTlsDirectory(request('verifier', 'generate'))
  expect(fs.readFileSync(path.join(directory, 'server-cert.crt'), 'utf8')).toBe(before)
  const server = await identity('server', directory)
  const client = await identity('client', directory)
  const names = alternativeNames(parseCertificate(server.cert)).map((name) => ('value' in name ? name.value : ''))
  expect(names).toEqual(expect.arrayContaining(['localhost', '127.0.0.1', 'verifier.example.org', '10.1.2.3']))
  expect(names).not.toContain('0.0.0.0')
  const own = Object.values(os.networkInterfaces()).flatMap((found) =>
    (found ?? []).filter(({ internal, family }) => !internal && family === 'IPv4'),
  )
  expect(names).toEqual(expect.arrayContaining(own.map(({ address }) => address))) // it listens everywhere
  const listener = https.createServer({ ...server, requestCert: true, rejectUnauthorized: true }, (_, response) => response.end('ok'))
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as AddressInfo
  const socket = tls.connect({ ...client, host: '127.0.0.1', port })
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  expect(socket.authorized).toBe(true)
  socket.destroy()
  listener.close()
})

test('the registrar generates its own directory without a client', async () => {
  const directory = await ensureTlsDirectory(request('registrar', 'generate'))
  expect(directory).toBe(path.join(keylimeDir, 'reg_ca'))
  expect(fs.existsSync(path.join(directory, 'client-cert.crt'))).toBe(false)
  await expect(identity('server', directory)).rejects.toThrow('trusted_client_ca: cannot read') // cv_ca is what it trusts, and it is missing
})

test('a key password protects the key file and opens it again', async () => {
  const directory = await ensureTlsDirectory(request('verifier', 'generate', { serverKeyPassword: 'pw' }))
  expect(fs.readFileSync(path.join(directory, 'server-private.pem'), 'utf8')).toContain('ENCRYPTED')
  const { cert, key, keyPassword } = await identity('server', directory, { keyPassword: 'pw' })
  expect(() => tls.createSecureContext({ cert, key, passphrase: keyPassword! })).not.toThrow()
})

test('default and paths must exist', async () => {
  await expect(ensureTlsDirectory(request('registrar', 'default'))).rejects.toMatchObject({
    code: 'config_invalid',
    hint: expect.stringContaining('start the verifier first'),
  })
  await expect(ensureTlsDirectory(request('registrar', 'certs'))).rejects.toMatchObject({ code: 'config_invalid' })
  fs.mkdirSync(path.join(keylimeDir, 'certs'))
  expect(await ensureTlsDirectory(request('registrar', 'certs'))).toBe(path.join(keylimeDir, 'certs'))
  expect(tlsDirectory('/abs', keylimeDir, 'tenant')).toBe('/abs')
})

test('trusting everybody is refused, a missing file is named with its option', async () => {
  const directory = await ensureTlsDirectory(request('verifier', 'generate'))
  await expect(identity('server', directory, { trusted: ['all'] })).rejects.toMatchObject({ code: 'config_invalid' })
  await expect(identity('client', directory, { cert: 'none.crt' })).rejects.toThrow('client_cert: cannot read')
})

test('the group of the service may use the tenant’s key, and none of the others', async () => {
  const umask = process.umask(0o077)
  try {
    const directory = await ensureTlsDirectory(request('verifier', 'generate'))
    const mode = (name: string) => (fs.statSync(path.join(directory, name)).mode & 0o777).toString(8)
    const open = ['.', 'client-private.pem', 'client-cert.crt', 'cacert.crt'].map(mode)
    expect([open, ['server-private.pem', 'private.yml'].map(mode)]).toEqual([
      ['750', '640', '640', '640'],
      ['600', '600'],
    ])
  } finally {
    process.umask(umask)
  }
})

test('checking makes nothing, and refuses what the start would', async () => {
  const check = (tlsDir: string) => checkTlsDirectory({ role: 'verifier', keylimeDir, tlsDir })
  expect(await check('generate')).toBeNull()
  expect(fs.readdirSync(keylimeDir)).toEqual([])
  await expect(check('/nowhere')).rejects.toMatchObject({ code: 'config_invalid' })
  fs.mkdirSync(path.join(keylimeDir, 'cv_ca'))
  fs.writeFileSync(path.join(keylimeDir, 'cv_ca/ours.crt'), 'x')
  await expect(check('generate')).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('ours.crt') })
  fs.rmSync(path.join(keylimeDir, 'cv_ca/ours.crt'))
  const directory = await ensureTlsDirectory(request('verifier', 'generate'))
  expect(await check('generate')).toBe(directory)
})
