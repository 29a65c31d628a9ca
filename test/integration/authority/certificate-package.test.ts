import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import JSZip from 'jszip'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { packageCertificate, writePackage } from '../../../src/authority/certificate-package.ts'
import { currentCertificate, NOTIFIER } from '../../../src/authority/current-certificate.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'

const roots = { etc: '/nonexistent', usrEtc: '/nonexistent' }
const settings = { ...caSettings(loadConfig('ca', caOptions, { env: {}, roots }).values), keyKind: { type: 'ecdsa' } as const }
let access: CaAccess
let now = Date.now()
const use = { keylimeDir: '/nonexistent', trusted: [], now }

beforeEach(async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-package-'))
  now = Date.now()
  access = { directory, password: 'secret', settings, now: () => now }
  await initCaDirectory(access)
})
afterEach(() => fs.rmSync(access.directory, { recursive: true }))

const current = (name: string) => withAuthority(access, (authority) => currentCertificate(authority, name))

async function content(file: string): Promise<[string, string][]> {
  const zip = await JSZip.loadAsync(fs.readFileSync(file))
  return Promise.all(Object.values(zip.files).map(async (entry) => [entry.name, await entry.async('string')] as [string, string]))
}

test('who enrols a machine and who asks for its package get the same six files', async () => {
  const { certificate, key } = await current('m1')
  const { file, entries } = await writePackage(access, { name: 'm1', certificate, privateKey: key })
  const enrolled = await content(file)
  expect(enrolled.map(([name]) => name)).toEqual(['m1-public.pem', 'm1-cert.crt', 'm1-private.pem', 'cacert.crt', 'cacrl.der', 'cacrl.pem'])
  expect(entries.map(({ name }) => name)).toEqual(enrolled.map(([name]) => name))
  expect(await content(await packageCertificate(access, { name: 'm1', unprotected: false, use }))).toEqual(enrolled)
  expect(await content(await packageCertificate(access, { name: 'm1', unprotected: true, use }))).toEqual(enrolled)
})

test('a package holds the key as it is in its file, protected by its password, unless the key itself is asked for', async () => {
  await withAuthority(access, (authority) => authority.issue({ name: 'm1', keyPassword: 'pw' }))
  const keyIn = async (unprotected: boolean) =>
    (await content(await packageCertificate(access, { name: 'm1', unprotected: unprotected, use })))[2]![1]
  expect(await keyIn(false)).toContain('BEGIN ENCRYPTED PRIVATE KEY')
  expect(await keyIn(true)).toContain('BEGIN PRIVATE KEY')
})

test('a certificate is used again until it was revoked or lasts no other day', async () => {
  const first = await current('m1')
  expect((await current('m1')).certificate.serial).toBe(first.certificate.serial)
  await withAuthority(access, (authority) => authority.revoke(first.certificate.serial))
  const second = await current('m1')
  expect(second.certificate.serial).not.toBe(first.certificate.serial)
  now += (settings.lifetimeDays - 1) * 86_400_000
  expect([first, second].map(({ certificate }) => certificate.serial)).not.toContain((await current('m1')).certificate.serial)
})

test('the notifier has an RSA key, keeps it when its certificate runs out, and not when it was revoked', async () => {
  const first = await current(NOTIFIER)
  expect(first.certificate.publicKey.asymmetricKeyType).toBe('rsa')
  now += settings.lifetimeDays * 86_400_000
  const second = await current(NOTIFIER)
  expect(second.certificate.serial).not.toBe(first.certificate.serial)
  expect(second.key).toBe(first.key)
  await withAuthority(access, (authority) => authority.revoke(second.certificate.serial))
  expect((await current(NOTIFIER)).key).not.toBe(first.key)
})

test('a name that has no certificate has no package', async () => {
  await expect(packageCertificate(access, { name: 'nobody', unprotected: false, use })).rejects.toMatchObject({ code: 'not_found' })
  await expect(packageCertificate(access, { name: '../x', unprotected: false, use })).rejects.toMatchObject({ code: 'invalid_request' })
})
