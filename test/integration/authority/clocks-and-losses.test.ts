import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { packageCertificate } from '../../../src/authority/certificate-package.ts'
import { currentCertificate } from '../../../src/authority/current-certificate.ts'
import { initAuthority, initCaDirectory } from '../../../src/authority/init-authority.ts'
import { keepCrlRight } from '../../../src/authority/keep-crl-right.ts'
import { listCertificates, showCertificate } from '../../../src/authority/list-certificates.ts'
import { withAuthority, withDirectoryLock } from '../../../src/authority/open-authority.ts'
import { readCrl } from '../../../src/authority/revocation-list.ts'
import { refuseTlsAuthority } from '../../../src/authority/serves-tls.ts'
import { watchAuthority } from '../../../src/authority/watch-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { crlAddressesOf } from '../../../src/core/pki/extensions.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { openssl } from '../ca/listener-bed.ts'

const DAY_MS = 86_400_000
const roots = { etc: '/nonexistent', usrEtc: '/nonexistent' }
const settingsOf = (env: Record<string, string> = {}) => ({
  ...caSettings(loadConfig('ca', caOptions, { env, roots }).values),
  keyKind: { type: 'ecdsa' } as const,
})
let home: string
let offset = 0
let access: CaAccess
const file = (name: string) => path.join(access.directory, name)
const read = (name: string) => fs.readFileSync(file(name), 'utf8')
const publish = () => withAuthority(access, (authority) => authority.publishCrl())
const numberNow = async () => Number((await readCrl(access.directory))?.number)

beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-clocks-'))
  offset = 0
  access = { directory: path.join(home, 'ca'), password: 'secret', settings: settingsOf(), now: () => Date.now() + offset }
  await initCaDirectory(access)
})
afterEach(() => fs.rmSync(home, { recursive: true }))

test('the number of a list never falls: not when the list is lost, in one form or both, or was put back from before', async () => {
  const old = fs.readFileSync(file('cacrl.der'))
  for (let i = 0; i < 3; i++) await publish()
  const before = await numberNow()
  fs.rmSync(file('cacrl.der'))
  await publish()
  expect(await numberNow()).toBe(before + 1)
  for (const name of ['cacrl.der', 'cacrl.pem']) fs.rmSync(file(name))
  await publish()
  expect(await numberNow()).toBe(before + 2)
  fs.writeFileSync(file('cacrl.der'), old)
  await withAuthority(access, async (authority) => authority.revoke((await authority.issue({ name: 'x' })).certificate.serial))
  expect(await numberNow()).toBe(before + 3)
})

test('a list that is lost in one form keeps dates and reasons', async () => {
  await withAuthority(access, async (authority) =>
    authority.revoke((await authority.issue({ name: 'x' })).certificate.serial, 'keyCompromise'),
  )
  const before = (await readCrl(access.directory))?.revoked
  fs.rmSync(file('cacrl.der'))
  offset = DAY_MS
  await publish()
  expect((await readCrl(access.directory))?.revoked).toEqual(before)
})

test('a list made while the clock was ahead is made anew, and says nothing of the future any more', async () => {
  offset = 400 * DAY_MS
  await withAuthority(access, async (authority) => authority.revoke((await authority.issue({ name: 'x' })).certificate.serial))
  offset = 0
  await keepCrlRight({ access, watch: watchAuthority(access), logger: silentLogger })
  const list = await readCrl(access.directory)
  const now = Date.now()
  expect([list!.thisUpdate < now, list!.nextUpdate! < now + 8 * DAY_MS]).toEqual([true, true])
  expect(list!.revoked.map(({ date }) => date <= now)).toEqual([true])
  const at = String(Math.floor(now / 1000) - 10)
  expect(
    openssl('verify', '-attime', at, '-crl_check', '-CAfile', file('cacert.crt'), '-CRLfile', file('cacrl.pem'), file('cacert.crt')),
  ).toContain('OK')
})

test('a machine whose clock is five minutes behind takes authority, certificates and lists', async () => {
  await withAuthority(access, (authority) => authority.issue({ name: 'h' }))
  await publish()
  for (const behind of [5, 120, 290]) {
    const at = String(Math.floor(Date.now() / 1000) - behind)
    const checked = openssl(
      'verify',
      '-attime',
      at,
      '-crl_check',
      '-CAfile',
      file('cacert.crt'),
      '-CRLfile',
      file('cacrl.pem'),
      file('h-cert.crt'),
    )
    expect(checked).toContain('OK')
  }
})

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('a certificate named %s is one like any other', async (name) => {
  const { privateKeyPem } = await withAuthority(access, (authority) => authority.issue({ name }))
  await withAuthority(access, (authority) => authority.issue({ name: 'next' }))
  expect(await withAuthority(access, async (authority) => authority.privateKeyOf(name))).toBe(privateKeyPem)
})

test('the list’s address follows the configuration, in the authority and in what is packed', async () => {
  const moved = { ...access, settings: settingsOf({ KEYLIME_CA_LISTEN_IP: '10.0.0.5', KEYLIME_CA_LISTEN_PORT: '8080' }) }
  const first = await withAuthority(access, (authority) => currentCertificate(authority, 'm1'))
  expect(crlAddressesOf(parseCertificate(read('cacert.crt')))).toEqual([])
  const old = parseCertificate(read('cacert.crt'))
  const second = await withAuthority(moved, async (authority) => {
    await authority.refresh()
    return currentCertificate(authority, 'm1')
  })
  const authority = parseCertificate(read('cacert.crt'))
  expect([crlAddressesOf(authority), crlAddressesOf(second.certificate)]).toEqual([
    ['http://10.0.0.5:8080/crl'],
    ['http://10.0.0.5:8080/crl'],
  ])
  expect([authority.spki, authority.notAfter]).toEqual([old.spki, old.notAfter])
  expect(second.certificate.serial).not.toBe(first.certificate.serial)
  fs.writeFileSync(file('old.pem'), old.pem)
  for (const name of ['old.pem', 'cacert.crt']) expect(openssl('verify', '-CAfile', file(name), file('m1-cert.crt'))).toContain('OK')
  const again = { ...access, settings: settingsOf({ KEYLIME_CA_CERT_CRL_DIST: 'http://ca.example/crl' }) }
  await packageCertificate(again, { name: 'm1', unprotected: true, use: { keylimeDir: home, trusted: [], now: Date.now() } })
  expect(crlAddressesOf(parseCertificate(read('cacert.crt')))).toEqual(['http://ca.example/crl'])
})

test.each([
  [{}, ''],
  [{ KEYLIME_CA_LISTEN_IP: '127.0.0.2' }, ''],
  [{ KEYLIME_CA_LISTEN_IP: '0.0.0.0' }, `http://${os.hostname()}:38080/crl`],
  [{ KEYLIME_CA_LISTEN_IP: '2001:db8::7' }, 'http://[2001:db8::7]:38080/crl'],
  [{ KEYLIME_CA_LISTEN_IP: '10.0.0.5', KEYLIME_CA_CERT_CRL_DIST: '' }, ''],
  [{ KEYLIME_CA_LISTEN_IP: '10.0.0.5', KEYLIME_CA_CERT_CRL_DIST: 'http://x/crl' }, 'http://x/crl'],
])('with %j the list’s address is "%s"', (env, url) => expect(settingsOf(env).crlUrl).toBe(url))

describe('an authority of TLS makes no certificates for machines', () => {
  const use = (changes: object = {}) => ({ keylimeDir: home, trusted: [], now: Date.now(), ...changes })

  test('not a directory of tls_dir = generate, by whatever name and before it is there', async () => {
    for (const name of ['cv_ca', 'reg_ca'])
      await expect(refuseTlsAuthority(path.join(home, name), use())).rejects.toMatchObject({ code: 'refused' })
    await initCaDirectory({ ...access, directory: path.join(home, 'cv_ca') })
    fs.symlinkSync(path.join(home, 'cv_ca'), path.join(home, 'link'))
    fs.cpSync(path.join(home, 'cv_ca'), path.join(home, 'copy'), { recursive: true })
    for (const name of ['link', 'copy'])
      await expect(refuseTlsAuthority(path.join(home, name), use())).rejects.toMatchObject({ code: 'refused' })
    await expect(refuseTlsAuthority(access.directory, use())).resolves.toBeUndefined()
  })
  test('not one that the tenant believes, and none that has given a role', async () => {
    await expect(refuseTlsAuthority(access.directory, use({ trusted: [file('cacert.crt')] }))).rejects.toThrow(
      'trusted by its certificates',
    )
    await expect(refuseTlsAuthority(access.directory, use({ trusted: ['/nonexistent'] }))).resolves.toBeUndefined()
    await withAuthority(access, (authority) => authority.issue({ name: 'alice', role: 'operator' }))
    await expect(refuseTlsAuthority(access.directory, use())).rejects.toThrow('it has issued alice, whose role is operator')
    const request = { name: 'alice', unprotected: true, use: use() }
    await expect(packageCertificate(access, request)).rejects.toMatchObject({
      code: 'refused',
      hint: expect.stringContaining('another directory'),
    })
  })
})

test('what a program left that was killed at the end of making an authority lets nobody make another one', async () => {
  const marker = file('.making-authority')
  fs.writeFileSync(marker, 'an authority is being made here\n')
  await withAuthority(access, async () => {})
  expect(fs.existsSync(marker)).toBe(false)
  fs.rmSync(file('cacert.crt')) // with the marker this would count as half made
  await expect(initAuthority(access, { replace: false, givesRoles: true })).rejects.toMatchObject({ code: 'config_invalid' })
})

test('while only half of it is there, the mark stays: it may be made anew', async () => {
  const marker = file('.making-authority')
  fs.writeFileSync(marker, 'an authority is being made here\n')
  fs.rmSync(file('cacert.crt'))
  await withDirectoryLock(access, async () => {})
  expect(fs.existsSync(marker)).toBe(true)
  await initAuthority(access, { replace: false, givesRoles: true })
  expect(fs.existsSync(marker)).toBe(false)
})

test.each<[string, (nowhere: CaAccess) => Promise<unknown>]>([
  ['opened', (nowhere) => withAuthority(nowhere, async () => {})],
  ['listed', (nowhere) => listCertificates(nowhere.directory, 0)],
  ['shown', (nowhere) => showCertificate(nowhere.directory, 'a', 0)],
])('a directory without an authority cannot be %s, and it is said how to make one', async (_how, use) => {
  const empty = fs.mkdtempSync(path.join(home, 'empty-'))
  await expect(use({ ...access, directory: empty })).rejects.toMatchObject({
    code: 'not_found',
    message: `${empty} holds no certificate authority`,
    hint: `make one with \`keylime ca init -d ${empty}\``,
  })
  expect(fs.readdirSync(empty)).toEqual([])
})
