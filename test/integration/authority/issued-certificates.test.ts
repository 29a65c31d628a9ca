import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initAuthority, initCaDirectory } from '../../../src/authority/init-authority.ts'
import { issueCertificate } from '../../../src/authority/issue-certificate.ts'
import { issueOperator } from '../../../src/authority/issue-operator.ts'
import { unknownSerials } from '../../../src/authority/issued-certificates.ts'
import { KeyStore } from '../../../src/authority/key-store.ts'
import { listAllCertificates } from '../../../src/authority/list-certificates.ts'
import { withAuthority, withIssuer } from '../../../src/authority/open-authority.ts'
import { renewCertificate } from '../../../src/authority/renew-certificate.ts'
import { readCrl } from '../../../src/authority/revocation-list.ts'
import { revokeCertificate } from '../../../src/authority/revoke-certificate.ts'
import { refuseTlsAuthority } from '../../../src/authority/serves-tls.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { RevocationReason } from '../../../src/core/pki/crl.ts'
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
const issue = (name: string, days?: number) => {
  clock += 1000 // certificates have their dates to the second
  return withAuthority(access, (authority) => authority.issue({ name, ...(days ? { days } : {}) }))
}
/** As an authority did before serials were random, and as upstream's does. */
const issueCounted = (name: string) =>
  withIssuer(access, (issuer) => {
    const serial = BigInt(issuer.store.lastSerial + 1)
    Object.assign(issuer.store, { newSerial: () => serial })
    return issueCertificate(issuer, { name })
  })
/** Serials are random: the first that was given is 2 here, the next 3. */
const given = async () => (await KeyStore.open(access)).issuedSerials.map(BigInt)
const nth = async (n: number) => (await given())[n - 2]!
const numbers = async (serials: readonly bigint[]) => {
  const all = await given()
  return serials.map((serial) => all.indexOf(serial) + 2)
}
const revoked = async () => (await numbers((await readCrl(directory))?.revoked.map(({ serial }) => serial) ?? [])).sort()
const ends = async (name: string, reason: RevocationReason = 'keyCompromise') => {
  const { serials, fresh, unknown } = await revokeCertificate(access, { name }, reason)
  return { serials: await numbers(serials), fresh: await numbers(fresh), unknown: await numbers(unknown) }
}
const kept = async () => {
  const all = await given()
  return fs
    .readdirSync(file('issued'))
    .map((name) => name.replace(/^\d+/, (serial) => `${all.indexOf(BigInt(serial)) + 2}`))
    .sort()
}
const shown = async () => {
  const all = await given()
  return (await listAllCertificates(directory, clock)).map(
    ({ name, certificate, state, isLast }) => `${all.indexOf(certificate.serial) + 2} ${name} ${state}${isLast ? '' : ' earlier'}`,
  )
}

beforeEach(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-issued-'))
  clock = Date.now()
  await initCaDirectory(access)
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('revoking a name ends every certificate that it has had, and of no other', async () => {
  for (const name of ['web', 'web.2', 'web', 'db', 'web']) await issue(name)
  clock += 1000
  await withIssuer(access, (issuer) => renewCertificate(issuer, { name: 'web', role: 'server' }))
  expect(await shown()).toEqual([
    '2 web valid earlier',
    '3 web.2 valid',
    '4 web valid earlier',
    '5 db valid',
    '6 web valid earlier',
    '7 web valid',
  ])
  expect(await ends('web')).toEqual({ serials: [2, 4, 6, 7], fresh: [2, 4, 6, 7], unknown: [] })
  expect(await revoked()).toEqual([2, 4, 6, 7])
  expect((await ends('web')).fresh).toEqual([])
  await expect(revokeCertificate(access, { name: 'nobody' }, 'keyCompromise')).rejects.toMatchObject({ code: 'not_found' })
  await expect(revokeCertificate(access, { name: '../web' }, 'keyCompromise')).rejects.toMatchObject({ code: 'invalid_request' })
})

walk('a name counts also when its files are gone, and when its last certificate has ended', async () => {
  await issue('web')
  await issue('web', 1)
  for (const end of ['-cert.crt', '-private.pem', '-public.pem']) fs.rmSync(file(`web${end}`))
  clock += 2 * 86_400_000
  expect(await shown()).toEqual(['2 web valid earlier', '3 web expired earlier'])
  expect((await ends('web', 'superseded')).fresh).toEqual([2, 3])
})

test('an operator who is taken away keeps none of his certificates', async () => {
  const request = { name: 'alice', days: undefined, csr: undefined }
  await issueOperator(access, { ...request, replace: false })
  clock += 1000
  await withAuthority(access, (authority) => authority.issue({ name: 'alice', role: 'operator', days: 1 }))
  clock += 2 * 86_400_000 // the last one has ended, the first one has not
  await expect(issueOperator(access, { ...request, replace: false })).rejects.toMatchObject({ code: 'already_exists' })
  expect(await numbers((await issueOperator(access, { ...request, replace: true })).revoked)).toEqual([2, 3])
  expect(await revoked()).toEqual([2, 3])
  expect((await ends('alice', 'unspecified')).fresh).toEqual([4])
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
  await withAuthority(access, async (authority) => authority.revoke(await nth(4)))
  fs.rmSync(file('issued'), { recursive: true, force: true })
  expect(await shown()).toEqual(['3 web valid', '4 db revoked'])
  await issue('web')
  expect(await numbers(await unknownSerials(directory, []))).toEqual([2])
  expect(await ends('web')).toEqual({ serials: [3, 5], fresh: [3, 5], unknown: [2] })
  await withAuthority(access, async (authority) => authority.revoke(await nth(2)))
  expect((await ends('web')).unknown).toEqual([])
})

test('also of those that were counted, which random ones follow', async () => {
  for (const name of ['web', 'web', 'db']) await issueCounted(name)
  await withAuthority(access, (authority) => authority.revoke(4n))
  fs.rmSync(file('issued'), { recursive: true, force: true })
  const { certificate } = await issue('web')
  expect(certificate.serial).toBeGreaterThan(2n ** 52n)
  expect(await unknownSerials(directory, [])).toEqual([2n])
  const ended = [3n, certificate.serial]
  expect(await revokeCertificate(access, { name: 'web' }, 'superseded')).toEqual({
    serials: ended,
    fresh: ended,
    unknown: [2n],
    elsewhere: [],
  })
  expect((await issueCounted('mail')).certificate.serial).toBe(5n) // upstream's program goes on where it was
  expect(await withAuthority(access, (authority) => authority.revokeWithEarlier([5n], 'keyCompromise'))).toEqual([5n])
})

walk('what was cut off while it was begun is begun again; what another program made is kept when it is replaced', async () => {
  for (const name of ['web', 'db']) await issue(name)
  fs.rmSync(file('issued', 'begins-after'))
  fs.rmSync(file('issued', `${await nth(2)}-web.crt`))
  fs.writeFileSync(file('issued', '.3-db.crt.0123456789ab.tmp'), 'half')
  await withAuthority(access, async () => {})
  expect(await kept()).toEqual(['2-web.crt', '3-db.crt', 'begins-after'])
  await issue('web')
  fs.rmSync(file('issued', `${await nth(4)}-web.crt`)) // as if upstream's keylime_ca had made it
  await issue('web')
  expect((await ends('web', 'superseded')).fresh).toEqual([2, 4, 5])
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
  for (const name of ['db', 'web', 'db', 'web']) await issue(name)
  await ends('db')
  const all = await given()
  fs.writeFileSync(file('private.yml'), yesterday)
  const { certificate } = await issue('mail')
  expect(await given()).toEqual([...all, certificate.serial])
  await withAuthority(access, (authority) => authority.publishCrl())
  expect(await revoked()).toEqual([3, 5])
})

walk('a new authority in its place knows nothing of what the one before has issued', async () => {
  await issue('web')
  await initAuthority(access, { replace: true, givesRoles: true })
  expect(await shown()).toEqual([])
  await issue('db')
  expect(await unknownSerials(directory, [])).toEqual([])
  expect(await kept()).toEqual(['2-db.crt', 'begins-after'])
})

walk('also when the program was killed while it removed that one', async () => {
  await issue('web')
  fs.writeFileSync(file('.making-authority'), 'an authority is being made here\n')
  for (const name of fs.readdirSync(directory)) if (name !== 'issued' && name !== '.making-authority') fs.rmSync(file(name))
  await initCaDirectory(access)
  await issue('db')
  expect(await shown()).toEqual(['2 db valid'])
})

test('with the end of a machine what it had before ends too, and what it was given since does not', async () => {
  for (const name of ['web', 'db', 'web', 'web']) await issue(name)
  const fails = async (n: number) =>
    withAuthority(access, async (authority) => numbers(await authority.revokeWithEarlier([await nth(n)], 'keyCompromise')))
  expect(await fails(4)).toEqual([4, 2])
  expect(await revoked()).toEqual([2, 4])
  clock += YEAR // also when all of them have ended
  expect(await fails(3)).toEqual([3])
})

test('copies of an authority give no serial twice, and what is revoked at one of them ends nobody else', async () => {
  for (let n = 0; n < 3; n++) await issueCounted('before')
  const [here, copy] = [directory, `${directory}-copy`]
  fs.cpSync(here, copy, { recursive: true })
  const at = async <T>(place: string, work: () => Promise<T>): Promise<T> => {
    directory = place
    return work().finally(() => (directory = here))
  }
  const serials: bigint[] = []
  for (let n = 0; n < 10; n++)
    for (const place of [here, copy]) serials.push((await at(place, () => issue(place === here ? 'carol' : 'bob'))).certificate.serial)
  expect(new Set(serials).size).toBe(20)
  expect(serials.every((serial) => serial > 2n ** 52n && Number.isSafeInteger(Number(serial)))).toBe(true)
  const bobs = serials.filter((_, i) => i % 2 === 1)
  const ended = await at(copy, () => revokeCertificate(access, { name: 'bob' }, 'keyCompromise'))
  expect(ended).toMatchObject({ serials: bobs, fresh: bobs, elsewhere: [] })
  fs.copyFileSync(path.join(copy, 'cacrl.der'), file('cacrl.der'))
  const states = async () => (await listAllCertificates(here, clock)).filter(({ name }) => name === 'carol').map(({ state }) => state)
  expect(await states()).toEqual(Array(10).fill('valid'))
  const last = bobs.at(-1)!
  expect(await revokeCertificate(access, { serial: last }, 'keyCompromise')).toEqual({
    serials: [last],
    fresh: [last],
    unknown: [],
    elsewhere: [last],
  })
  const counted = { code: 'not_found', hint: expect.stringContaining(`copy its cacrl.der to ${here}, and run \`keylime ca crl\``) }
  await expect(revokeCertificate(access, { serial: 5n }, 'keyCompromise')).rejects.toMatchObject(counted)
  const list = (await readCrl(here))?.revoked.map(({ serial }) => serial) ?? []
  expect(list.sort()).toEqual([...bobs].sort()) // what the list of the copy said stays, too
  expect(await states()).toEqual(Array(10).fill('valid'))
  fs.rmSync(copy, { recursive: true })
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
