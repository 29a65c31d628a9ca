import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parse } from 'yaml'
import { type CaAccess, isCaDirectory } from '../../../src/authority/ca-access.ts'
import { initAuthority, initCaDirectory } from '../../../src/authority/init-authority.ts'
import { issueOperator } from '../../../src/authority/issue-operator.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { readCrl } from '../../../src/authority/revocation-list.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { openKeystore } from '../../../src/core/keystore/keystore.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'

const settings = caSettings(
  loadConfig('ca', caOptions, { env: { KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa' }, roots: { etc: '/nonexistent', usrEtc: '/nonexistent' } })
    .values,
)
let directory: string
let clock = Date.now()
const access = (password = 'secret'): CaAccess => ({ directory, password, settings, now: () => clock })
const file = (name: string) => path.join(directory, name)
const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const mode = (name: string) => (fs.statSync(file(name)).mode & 0o777).toString(8)

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-ca-'))
  clock = Date.now()
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('openssl accepts authority, certificate and revocation list, and refuses the certificate once it is revoked', async () => {
  await initCaDirectory(access())
  const { certificate } = await withAuthority(access(), (ca) => ca.issue({ name: 'agent-1' }))
  expect(certificate.serial).toBeGreaterThan(2n ** 52n)
  expect(certificate.subject).toBe('OU=53,O=Keylime,L=Lexington,ST=MA,CN=agent-1,C=US')
  expect(openssl('x509', '-in', file('agent-1-cert.crt'), '-noout', '-subject', '-nameopt', 'RFC2253')).toContain(certificate.subject)
  expect(openssl('verify', '-crl_check', '-CAfile', file('cacert.crt'), '-CRLfile', file('cacrl.pem'), file('agent-1-cert.crt'))).toContain(
    'OK',
  )
  await withAuthority(access(), (ca) => ca.revoke(certificate.serial, 'keyCompromise'))
  expect(openssl('crl', '-inform', 'DER', '-in', file('cacrl.der'), '-noout', '-text')).toMatch(
    new RegExp(`CRL Number:\\s+2\\s[^]*Serial Number: ${certificate.serial.toString(16)}\\s[^]*Key Compromise`, 'i'),
  )
  expect(() =>
    openssl('verify', '-crl_check', '-CAfile', file('cacert.crt'), '-CRLfile', file('cacrl.pem'), file('agent-1-cert.crt')),
  ).toThrow('certificate revoked')
})

test('each writing of the key store is encrypted under an IV of its own, each authority under a salt of its own', async () => {
  const outer = () => parse(fs.readFileSync(file('private.yml'), 'utf8'), { schema: 'yaml-1.1' }) as { priv: Uint8Array; salt: string }
  const [ivs, salts] = [new Set<string>(), new Set<string>()]
  for (let n = 0; n < 3; n++) {
    await initCaDirectory(access())
    await withAuthority(access(), (ca) => ca.issue({ name: 'a' }))
    const { priv, salt } = outer()
    salts.add(salt)
    ivs.add(Buffer.from(Buffer.from(priv).toString('latin1'), 'base64').subarray(0, 16).toString('hex'))
    await withAuthority(access(), (ca) => ca.issue({ name: 'b' }))
    ivs.add(Buffer.from(Buffer.from(outer().priv).toString('latin1'), 'base64').subarray(0, 16).toString('hex'))
    fs.rmSync(directory, { recursive: true })
    fs.mkdirSync(directory)
  }
  expect([ivs.size, salts.size]).toEqual([6, 3])
  for (const salt of salts) expect(Buffer.from(salt, 'base64')).toHaveLength(32)
})

test('the password that it had may be given again: it is another key all the same', async () => {
  await initCaDirectory(access())
  await withAuthority(access(), (ca) => ca.changePassword('secret'))
  await withAuthority(access(), (ca) => ca.issue({ name: 'a' }))
  await expect(withAuthority(access('other'), (ca) => ca.issue({ name: 'b' }))).rejects.toMatchObject({ code: 'wrong_password' })
})

test('an RSA authority works the same way', async () => {
  const rsa: CaAccess = { ...access(), settings: { ...settings, keyKind: { type: 'rsa', bits: 2048 } } }
  await initCaDirectory(rsa)
  await withAuthority(rsa, (ca) => ca.issue({ name: 'a' }))
  expect(openssl('verify', '-crl_check', '-CAfile', file('cacert.crt'), '-CRLfile', file('cacrl.pem'), file('a-cert.crt'))).toContain('OK')
})

test('private keys are readable by their owner only', async () => {
  await initCaDirectory(access())
  await withAuthority(access(), (ca) => ca.issue({ name: 'a' }))
  expect([mode('private.yml'), mode('a-private.pem'), mode('cacert.crt'), mode('cacrl.der')]).toEqual(['600', '600', '640', '644'])
})

test('dates and reasons of earlier revocations are kept, the next update lies ahead', async () => {
  await initCaDirectory(access())
  const issue = async (name: string) => (await withAuthority(access(), (ca) => ca.issue({ name }))).certificate.serial
  const [one, two] = [await issue('a'), await issue('b')]
  await withAuthority(access(), (ca) => ca.revoke(one, 'superseded'))
  const first = await readCrl(directory)
  clock += 86_400_000
  expect(await withAuthority(access(), (ca) => ca.revoke(two))).toBe(true)
  expect(await withAuthority(access(), (ca) => ca.revoke(two))).toBe(false)
  const last = await readCrl(directory)
  expect(last?.revoked.map(({ serial, reason }) => [serial, reason])).toEqual([
    [one, 'superseded'],
    [two, undefined],
  ])
  expect(last?.revoked[0]?.date).toBe(first?.revoked[0]?.date)
  expect(last?.nextUpdate).toBeGreaterThan(clock)
  expect(last?.number).toBe(4n)
})

test('what a program that was killed left of a private key is removed by the next that opens the authority', async () => {
  await initCaDirectory(access())
  const left = file('.x-private.pem.0123456789ab.tmp')
  fs.writeFileSync(left, 'half a key')
  await withAuthority(access(), async () => {})
  expect(fs.existsSync(left)).toBe(false)
})

test('a serial is never given twice, also by two programs at once', async () => {
  await initCaDirectory(access())
  const names = ['a', 'b', 'c', 'd', 'e']
  const issued = await Promise.all(names.map((name) => withAuthority(access(), (ca) => ca.issue({ name }))))
  const serials = issued.map(({ certificate }) => `${certificate.serial}`)
  expect(new Set(serials).size).toBe(5)
  const store = openKeystore(fs.readFileSync(file('private.yml'), 'utf8'), 'secret')
  expect(store.lastSerial).toBe(1)
  expect(store.issuedSerials.toSorted()).toEqual(serials.toSorted())
  expect([...store.keys.keys()].sort()).toEqual(names)
})

test('a key store of yesterday knows again what was issued since, as the certificates are there', async () => {
  await initCaDirectory(access())
  const issue = async (name: string) => {
    clock += 60_000
    return (await withAuthority(access(), (ca) => ca.issue({ name }))).certificate.serial
  }
  const [before, yesterday] = [await issue('a'), fs.readFileSync(file('private.yml'))]
  const [one, two] = [await issue('b'), await issue('c')]
  fs.writeFileSync(file('private.yml'), yesterday)
  expect(await withAuthority(access(), async (ca) => [before, one, two].map(ca.hasGiven))).toEqual([true, true, true])
  const { issuedSerials } = openKeystore(fs.readFileSync(file('private.yml'), 'utf8'), 'secret')
  expect(issuedSerials).toEqual([before, one, two].map(String))
})

test('cert_lifetime and given days count', async () => {
  await initCaDirectory(access())
  const days = ({ notBefore, notAfter }: { notBefore: number; notAfter: number }) => Math.round((notAfter - notBefore) / 86_400_000)
  const one = await withAuthority({ ...access(), settings: { ...settings, lifetimeDays: 30 } }, (ca) => ca.issue({ name: 'a' }))
  const two = await withAuthority(access(), (ca) => ca.issue({ name: 'b', days: 3 }))
  expect([days(one.certificate), days(two.certificate)]).toEqual([30, 3])
})

test('a key that stays with its owner is certified and nowhere stored', async () => {
  await initCaDirectory(access())
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const { privateKeyPem } = await withAuthority(access(), (ca) => ca.issue({ name: 'own', publicKey }))
  expect(privateKeyPem).toBeUndefined()
  expect(fs.existsSync(file('own-private.pem'))).toBe(false)
})

describe('a directory keeps what this program did not make there', () => {
  const foreign = ['company-root.pem', 'www.crt', 'backup.zip', 'old.der']
  const fill = () => {
    for (const name of foreign) fs.writeFileSync(file(name), 'mine')
  }

  test('a new authority is refused where anything is, and says what', async () => {
    fill()
    for (const make of [
      () => initCaDirectory(access()),
      () => initAuthority(access(), { replace: false, givesRoles: true }),
      () => initAuthority(access(), { replace: true, givesRoles: true }),
    ])
      await expect(make()).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('backup.zip, company-root.pem') })
    expect(fs.readdirSync(directory).sort()).toEqual([...foreign].sort())
  })

  test('one that is replaced on purpose takes along what it issued, and nothing else', async () => {
    await initCaDirectory(access())
    await withAuthority(access(), (ca) => ca.issue({ name: 'old' }))
    await issueOperator(access(), { name: 'ann', days: undefined, csr: undefined, replace: false })
    fill()
    for (const end of ['cert.crt', 'private.pem', 'public.pem']) fs.copyFileSync(file(`old-${end}`), file(`copy-${end}`))
    fs.writeFileSync(file('other-cert.crt'), fs.readFileSync(file('cacert.crt')).subarray(0, 100))
    await initAuthority(access('other'), { replace: true, givesRoles: true })
    expect(['old-cert.crt', 'ann-cert.crt', 'ann-operator.zip'].filter((name) => fs.existsSync(file(name)))).toEqual([])
    expect(fs.readdirSync(directory)).toEqual(expect.arrayContaining([...foreign, 'other-cert.crt']))
    await withAuthority(access('other'), (ca) => ca.issue({ name: 'new' }))
  })

  test.each([
    ['cacert.crt', /key of an authority \(private\.yml\), but no cacert\.crt/],
    ['private.yml', /certificate of an authority \(cacert\.crt\), but no private\.yml/],
  ])('an authority without its %s is an error, and no reason for another one', async (missing, words) => {
    await initCaDirectory(access())
    fs.renameSync(file(missing), file('renamed'))
    const before = fs.readdirSync(directory).sort()
    const all = [
      () => initCaDirectory(access()),
      () => initAuthority(access(), { replace: true, givesRoles: true }),
      () => withAuthority(access(), (ca) => ca.issue({ name: 'x' })),
    ]
    for (const work of all) await expect(work()).rejects.toMatchObject({ code: 'config_invalid', message: expect.stringMatching(words) })
    expect(fs.readdirSync(directory).sort()).toEqual(before)
  })

  test('one whose making was cut off is made anew', async () => {
    await initCaDirectory(access())
    fs.rmSync(file('cacert.crt'))
    fs.writeFileSync(file('.making-authority'), '')
    await initCaDirectory(access())
    expect(await isCaDirectory(directory)).toBe(true)
    expect(fs.existsSync(file('.making-authority'))).toBe(false)
  })

  test('two that make one at once have the same', async () => {
    const [one, two] = await Promise.all([initCaDirectory(access()), initCaDirectory(access())])
    expect(one.pem).toBe(two.pem)
  })
})

test.each(['../x', '', '.hidden', 'a/b', 'ca', 'lastserial', 'issued_serials', 'x\n'])('refuses "%s" as a name', async (name) => {
  await initCaDirectory(access())
  await expect(withAuthority(access(), (ca) => ca.issue({ name }))).rejects.toMatchObject({ code: 'invalid_request' })
})

test('refuses a wrong password, an unknown serial, its own serial and an empty directory', async () => {
  await expect(withAuthority(access(), async () => 1)).rejects.toMatchObject({ code: 'not_found' })
  expect(await isCaDirectory(directory)).toBe(false)
  await initCaDirectory(access())
  await expect(withAuthority(access('wrong'), async () => 1)).rejects.toMatchObject({ code: 'wrong_password' })
  await expect(withAuthority(access(), (ca) => ca.revoke(9n))).rejects.toMatchObject({ code: 'not_found' })
  await expect(withAuthority(access(), (ca) => ca.revoke(1n))).rejects.toMatchObject({ code: 'not_found' })
})

test('what cannot be written leaves the old list whole', async () => {
  await initCaDirectory(access())
  const { certificate } = await withAuthority(access(), (ca) => ca.issue({ name: 'a' }))
  fs.rmSync(file('cacrl.pem'))
  fs.mkdirSync(file('cacrl.pem')) // a directory in its place cannot be replaced
  const before = fs.readFileSync(file('cacrl.der'))
  await expect(withAuthority(access(), (ca) => ca.revoke(certificate.serial))).rejects.toMatchObject({ code: 'file_failed' })
  expect(fs.readFileSync(file('cacrl.der')).length).toBeGreaterThanOrEqual(before.length)
  fs.rmdirSync(file('cacrl.pem'))
  await withAuthority(access(), (ca) => ca.publishCrl())
  expect((await readCrl(directory))?.revoked.map(({ serial }) => serial)).toEqual([certificate.serial])
})

test('the certificate file is the certificate', async () => {
  await initCaDirectory(access())
  const { certificate } = await withAuthority(access(), (ca) =>
    ca.issue({ name: 'a', alternativeNames: [{ type: 'ip', value: '10.0.0.1' }] }),
  )
  expect(parseCertificate(fs.readFileSync(file('a-cert.crt'), 'utf8')).der.equals(certificate.der)).toBe(true)
  expect(openssl('x509', '-in', file('a-cert.crt'), '-noout', '-text')).toContain('IP Address:10.0.0.1')
})
