import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import { openServerCertificate } from '../../../../../src/roles/agent/identity/server-certificate.ts'

const DAY = 86_400_000
let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-cert-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const open = (now: number, agentId = 'a-1', password = '', isNamed = false) =>
  openServerCertificate({
    keyFile: path.join(directory, 'key.pem'),
    certFile: path.join(directory, 'cert.pem'),
    isNamed,
    password,
    agentId,
    contactIp: '10.0.0.7',
    now,
    serial: Buffer.alloc(16, 0xff),
    logger: silentLogger,
  })

const belongTogether = ({ certPem, keyPem }: { certPem: string; keyPem: string }) =>
  new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem))

test('it is P-256 for the agent id and the contact address, for ten years, and kept', async () => {
  const now = Date.now()
  const first = await open(now)
  const certificate = new X509Certificate(first.certPem)
  expect(certificate.subject).toBe('CN=a-1')
  expect(certificate.subjectAltName).toBe('IP Address:10.0.0.7')
  expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
  expect(Math.round((certificate.validToDate.getTime() - now) / DAY)).toBe(3650)
  expect(BigInt(`0x${certificate.serialNumber}`)).toBeGreaterThan(0n)
  expect(fs.statSync(path.join(directory, 'key.pem')).mode & 0o777).toBe(0o600)
  expect(await open(now + 300 * DAY)).toEqual(first)
})

test.each([
  ['two thirds of its life are over', 2500, 'a-1'],
  ['it has ended', 4000, 'a-1'],
  ['the id is another', 0, 'a-2'],
])('it is made anew, for the same key, when %s', async (_why, days, agentId) => {
  const now = Date.now()
  const first = await open(now)
  const second = await open(now + days * DAY, agentId)
  expect(second.certPem).not.toBe(first.certPem)
  expect(second.keyPem).toBe(first.keyPem)
})

test('it is made anew when it belongs to another key or cannot be read', async () => {
  const now = Date.now()
  const first = await open(now)
  fs.rmSync(path.join(directory, 'key.pem'))
  const second = await open(now)
  expect(second.keyPem).not.toBe(first.keyPem)
  expect(belongTogether(second)).toBe(true)
  fs.writeFileSync(path.join(directory, 'cert.pem'), 'nonsense')
  const third = await open(now)
  expect(third.keyPem).toBe(second.keyPem)
  expect(belongTogether(third)).toBe(true)
  expect(fs.readFileSync(path.join(directory, 'cert.pem'), 'utf8')).toBe(third.certPem)
})

test('a key with a password is stored encrypted, and opens only with it', async () => {
  await open(Date.now(), 'a-1', 'pw')
  expect(fs.readFileSync(path.join(directory, 'key.pem'), 'utf8')).toMatch(/ENCRYPTED/)
  await expect(open(Date.now(), 'a-1', '')).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringMatching(/^server_key: .*key\.pem needs a password$/),
  })
})

describe('a certificate that the configuration names', () => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
  const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const selfSigned = (name: string, [key, cert]: [string, string], days: string) =>
    openssl('req', '-x509', ...KEY, '-keyout', key, '-out', cert, '-subj', `/CN=${name}`, '-days', days)
  const make = (days: string) => selfSigned('rack 7', ['key.pem', 'cert.pem'], days)
  const file = () => fs.readFileSync(path.join(directory, 'cert.pem'), 'utf8')
  const named = (now = Date.now()) => open(now, 'a-1', '', true)

  test('is used as it is, whatever its name, also near its end', async () => {
    make('90')
    const before = file()
    expect((await named()).certPem).toBe(before)
    expect((await named(Date.now() + 80 * DAY)).certPem).toBe(before)
    expect(file()).toBe(before)
  })

  test('is refused when it has ended, is of another key, has no key, or is none; and never overwritten', async () => {
    make('90')
    const before = file()
    const refused = (words: string) => ({ code: 'config_invalid', message: expect.stringContaining(words) })
    await expect(named(Date.now() + 91 * DAY)).rejects.toMatchObject(refused('it ended on'))
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'key.pem')
    await expect(named()).rejects.toMatchObject(refused('it belongs to another key'))
    fs.rmSync(path.join(directory, 'key.pem'))
    await expect(named()).rejects.toMatchObject(refused('is not there'))
    expect(file()).toBe(before)
    fs.writeFileSync(path.join(directory, 'cert.pem'), 'nonsense')
    await expect(named()).rejects.toMatchObject(refused('it holds no certificate'))
    expect(file()).toBe('nonsense')
  })

  test('is made when it is missing', async () => {
    expect(belongTogether(await named())).toBe(true)
  })

  test('one that an authority signed is the operator’s wherever it stands', async () => {
    selfSigned('ca', ['ca.key', 'ca.pem'], '90')
    openssl('req', ...KEY, '-keyout', 'key.pem', '-out', 'csr.pem', '-subj', '/CN=rack 7')
    openssl('x509', '-req', '-in', 'csr.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'cert.pem', '-days', '90')
    const before = file()
    expect((await open(Date.now())).certPem.trim()).toBe(before.trim())
    expect(file()).toBe(before)
  })
})
