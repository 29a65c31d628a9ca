import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { replaceServicePassword, servicePassword, servicePasswordFile } from '../../../src/authority/service-password.ts'
import { openKeystore } from '../../../src/core/keystore/keystore.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { temporaryKeylimeDir, testLogger } from '../../servers.ts'

let dir: string
let authority: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-password-'))
  authority = path.join(dir, 'cv_ca')
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

test('without a configured password one is made, for this user alone, and found again', async () => {
  const made = await servicePassword(authority, 'default')
  expect(made).toMatch(/^[\w-]{32}$/)
  expect(fs.statSync(servicePasswordFile(authority)).mode & 0o777).toBe(0o600)
  expect(await servicePassword(authority, 'default')).toBe(made)
  expect(fs.readdirSync(dir)).toEqual(['cv_ca-password'])
})

test('a link in its place has no other file overwritten', async () => {
  const other = path.join(dir, 'other')
  fs.writeFileSync(other, 'before\n')
  fs.symlinkSync(other, servicePasswordFile(authority))
  await replaceServicePassword(authority, 'new')
  expect(fs.readFileSync(other, 'utf8')).toBe('before\n')
  expect(fs.readFileSync(servicePasswordFile(authority), 'utf8')).toBe('new\n')
})

test('services that start at once agree on one', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => servicePassword(authority, 'default')))
  expect(new Set(made).size).toBe(1)
})

test('a configured one counts, and a key store from before keeps its own', async () => {
  expect(await servicePassword(authority, 'mine')).toBe('mine')
  fs.mkdirSync(authority)
  fs.writeFileSync(path.join(authority, 'private.yml'), 'from before')
  expect(await servicePassword(authority, 'default')).toBe('default')
  expect(fs.existsSync(servicePasswordFile(authority))).toBe(false)
})

test('the key store that a verifier makes by itself does not open with the word that everybody knows', async () => {
  const home = temporaryKeylimeDir()
  const verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  await verifier.stop()
  const text = fs.readFileSync(path.join(home.dir, 'cv_ca/private.yml'), 'utf8')
  expect(() => openKeystore(text, 'default')).toThrow(expect.objectContaining({ code: 'wrong_password' }))
  const password = fs.readFileSync(path.join(home.dir, 'cv_ca-password'), 'utf8').trim()
  expect(openKeystore(text, password).lastSerial).toBeGreaterThan(0)
  await replaceServicePassword(path.join(home.dir, 'cv_ca'), 'short')
  expect(fs.readFileSync(path.join(home.dir, 'cv_ca-password'), 'utf8')).toBe('short\n')
  await replaceServicePassword(path.join(home.dir, 'cv_ca'), password)
  await replaceServicePassword(path.join(home.dir, 'other'), 'never made')
  expect(fs.existsSync(path.join(home.dir, 'other-password'))).toBe(false)
  const again = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  await again.stop()
  home.remove()
})
