import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initAuthority, initCaDirectory } from '../../../src/authority/init-authority.ts'
import { issueOperator } from '../../../src/authority/issue-operator.ts'
import { unknownSerials } from '../../../src/authority/issued-certificates.ts'
import { listAllCertificates } from '../../../src/authority/list-certificates.ts'
import { withAuthority, withIssuer } from '../../../src/authority/open-authority.ts'
import { renewCertificate } from '../../../src/authority/renew-certificate.ts'
import { readCrl } from '../../../src/authority/revocation-list.ts'
import { revokeCertificate } from '../../../src/authority/revoke-certificate.ts'
import { refuseTlsAuthority } from '../../../src/authority/serves-tls.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { walk } from '../../thorough.ts'

const settings = caSettings(
  loadConfig('ca', caOptions, { env: { KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa' }, roots: { etc: '/nonexistent', usrEtc: '/nonexistent' } })
    .values,
)
const YEAR = 366 * 86_400_000
let directory: string
let clock = Date.now()
const access: CaAccess = {
  get directory() {
    return directory
  },
  password: 'secret',
  settings,
  now: () => clock,
}
const file = (...names: string[]) => path.join(directory, ...names)
const issue = (name: string) => withAuthority(access, (authority) => authority.issue({ name }))
const revoked = async () => (await readCrl(directory))?.revoked.map(({ serial }) => serial).sort()
const shown = async () =>
  (await listAllCertificates(directory, clock)).map(
    ({ name, certificate, state, isLast }) => `${certificate.serial} ${name} ${state}${isLast ? '' : ' earlier'}`,
  )

beforeEach(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-issued-'))
  clock = Date.now()
  await initCaDirectory(access)
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('revoking a name ends every certificate that it has had, and of no other', async () => {
  for (const name of ['web', 'web.2', 'web', 'db', 'web']) await issue(name)
  await withIssuer(access, (issuer) => renewCertificate(issuer, { name: 'web', role: 'server' }))
  expect(await shown()).toEqual([
    '2 web valid earlier',
    '3 web.2 valid',
    '4 web valid earlier',
    '5 db valid',
    '6 web valid earlier',
    '7 web valid',
  ])
  const result = await revokeCertificate(access, { name: 'web' }, 'keyCompromise')
  expect(result).toEqual({ serials: [2n, 4n, 6n, 7n], fresh: [2n, 4n, 6n, 7n], unknown: [] })
  expect(await revoked()).toEqual([2n, 4n, 6n, 7n])
  expect((await revokeCertificate(access, { name: 'web' }, 'keyCompromise')).fresh).toEqual([])
  await expect(revokeCertificate(access, { name: 'nobody' }, 'keyCompromise')).rejects.toMatchObject({ code: 'not_found' })
  await expect(revokeCertificate(access, { name: '../web' }, 'keyCompromise')).rejects.toMatchObject({ code: 'invalid_request' })
})

walk('a name counts also when its files are gone, and when its last certificate has ended', async () => {
  await issue('web')
  await withAuthority(access, (authority) => authority.issue({ name: 'web', days: 1 }))
  for (const end of ['-cert.crt', '-private.pem', '-public.pem']) fs.rmSync(file(`web${end}`))
  clock += 2 * 86_400_000
  expect(await shown()).toEqual(['2 web valid earlier', '3 web expired earlier'])
  expect((await revokeCertificate(access, { name: 'web' }, 'superseded')).fresh).toEqual([2n, 3n])
})

test('an operator who is taken away keeps none of his certificates', async () => {
  const request = { name: 'alice', days: undefined, csr: undefined }
  await issueOperator(access, { ...request, replace: false })
  await withAuthority(access, (authority) => authority.issue({ name: 'alice', role: 'operator', days: 1 }))
  clock += 2 * 86_400_000 // the last one has ended, the first one has not
  await expect(issueOperator(access, { ...request, replace: false })).rejects.toMatchObject({ code: 'already_exists' })
  expect((await issueOperator(access, { ...request, replace: true })).revoked).toEqual([2n, 3n])
  expect(await revoked()).toEqual([2n, 3n])
  expect((await revokeCertificate(access, { name: 'alice' }, 'unspecified')).fresh).toEqual([4n])
})

walk('an authority that has given a role once is none for machines, though another certificate took the place of that one', async () => {
  const use = { keylimeDir: '/nonexistent', trusted: [], now: clock }
  await issue('web')
  await refuseTlsAuthority(directory, use)
  await withAuthority(access, (authority) => authority.issue({ name: 'bob', role: 'operator' }))
  await issue('bob')
  await expect(refuseTlsAuthority(directory, use)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('bob') })
})

test('a directory that is older keeps what it knows, and says of which serials it knows nothing', async () => {
  for (const name of ['web', 'web', 'db']) await issue(name)
  await withAuthority(access, (authority) => authority.revoke(4n))
  fs.rmSync(file('issued'), { recursive: true, force: true })
  expect(await shown()).toEqual(['3 web valid', '4 db revoked'])
  await issue('web')
  expect(await unknownSerials(directory, [])).toEqual([2n])
  expect(await revokeCertificate(access, { name: 'web' }, 'keyCompromise')).toEqual({ serials: [3n, 5n], fresh: [3n, 5n], unknown: [2n] })
  await withAuthority(access, (authority) => authority.revoke(2n))
  expect((await revokeCertificate(access, { name: 'web' }, 'keyCompromise')).unknown).toEqual([])
})

walk('what was cut off while it was begun is begun again; what another program made is kept when it is replaced', async () => {
  for (const name of ['web', 'db']) await issue(name)
  fs.rmSync(file('issued', 'begins-after'))
  fs.rmSync(file('issued', '2-web.crt'))
  fs.writeFileSync(file('issued', '.3-db.crt.0123456789ab.tmp'), 'half')
  await withAuthority(access, async () => {})
  expect(fs.readdirSync(file('issued')).sort()).toEqual(['2-web.crt', '3-db.crt', 'begins-after'])
  await issue('web')
  fs.rmSync(file('issued', '4-web.crt')) // as if upstream's keylime_ca had made it
  await issue('web')
  expect((await revokeCertificate(access, { name: 'web' }, 'superseded')).fresh).toEqual([2n, 4n, 5n])
})

walk('a certificate of another authority under a name revokes nothing here', async () => {
  await issue('web')
  const here = directory
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-issued-'))
  await initCaDirectory(access)
  await issue('stranger')
  fs.copyFileSync(file('stranger-cert.crt'), path.join(here, 'stranger-cert.crt'))
  fs.rmSync(directory, { recursive: true })
  directory = here
  await expect(revokeCertificate(access, { name: 'stranger' }, 'unspecified')).rejects.toMatchObject({ code: 'not_found' })
  expect(await revoked()).toEqual([])
})

test('a key store of yesterday gives no serial twice, and takes no revocation back', async () => {
  await issue('web')
  const yesterday = fs.readFileSync(file('private.yml'))
  await issue('db')
  await revokeCertificate(access, { name: 'db' }, 'keyCompromise')
  fs.writeFileSync(file('private.yml'), yesterday)
  expect((await issue('mail')).certificate.serial).toBe(4n)
  await withAuthority(access, (authority) => authority.publishCrl())
  expect(await revoked()).toEqual([3n])
})

walk('a new authority in its place knows nothing of what the one before has issued', async () => {
  await issue('web')
  await initAuthority(access, { replace: true, givesRoles: true })
  expect(await shown()).toEqual([])
  await issue('db')
  expect(await unknownSerials(directory, [])).toEqual([])
  expect(fs.readdirSync(file('issued')).sort()).toEqual(['2-db.crt', 'begins-after'])
})

walk('also when the program was killed while it removed that one', async () => {
  await issue('web')
  fs.writeFileSync(file('.making-authority'), 'an authority is being made here\n')
  for (const name of fs.readdirSync(directory)) if (name !== 'issued' && name !== '.making-authority') fs.rmSync(file(name))
  await initCaDirectory(access)
  expect((await issue('db')).certificate.serial).toBe(2n)
  expect(await shown()).toEqual(['2 db valid'])
})

test('with the end of a machine what it had before ends too, and what it was given since does not', async () => {
  for (const name of ['web', 'db', 'web', 'web']) await issue(name)
  expect(await withAuthority(access, (authority) => authority.revokeWithEarlier([4n], 'keyCompromise'))).toEqual([4n, 2n])
  expect(await revoked()).toEqual([2n, 4n])
  clock += YEAR // also when all of them have ended
  expect(await withAuthority(access, (authority) => authority.revokeWithEarlier([3n], 'keyCompromise'))).toEqual([3n])
})

const testAsRoot = process.getuid?.() === 0 ? test : test.skip

testAsRoot('root neither gives away nor fills a directory to which the service of the authority has made a link', async () => {
  const outside = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-not-his-'))
  fs.rmSync(file('issued'), { recursive: true, force: true })
  fs.symlinkSync(outside, file('issued'))
  fs.chownSync(directory, 65_534, 65_534)
  fs.lchownSync(file('issued'), 65_534, 65_534)
  await expect(issue('web')).rejects.toMatchObject({ code: 'file_failed', message: expect.stringContaining('is a link') })
  expect(fs.statSync(outside)).toMatchObject({ uid: 0, gid: 0 })
  expect(fs.readdirSync(outside)).toEqual([])
  fs.rmSync(outside, { recursive: true })
  fs.rmSync(file('issued'))
  await issue('web')
  expect(fs.statSync(file('issued'))).toMatchObject({ uid: 65_534, gid: 65_534 })
})
