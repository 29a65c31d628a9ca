import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readCredential } from '../../../src/config/credentials.ts'
import { effectiveSettings, originText } from '../../../src/config/effective.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { verifierOptions } from '../../../src/config/verifier.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-credentials-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const NAME = 'keylime.verifier.server_key_password'
const put = (text: string, name = NAME) => fs.writeFileSync(path.join(directory, name), text)
const roots = () => ({ etc: path.join(directory, 'etc'), usrEtc: path.join(directory, 'usr') })
const load = (env: Record<string, string> = {}) =>
  loadConfig('verifier', verifierOptions, { env: { CREDENTIALS_DIRECTORY: directory, ...env }, roots: roots() })

test('a secret option comes from systemd’s credentials: over the file, under the environment', () => {
  fs.mkdirSync(roots().etc)
  fs.writeFileSync(path.join(roots().etc, 'verifier.conf'), '[verifier]\nserver_key_password = of the file\n')
  expect(load().values.server_key_password.reveal()).toBe('of the file')
  put('of the store\n')
  expect(load().values.server_key_password.reveal()).toBe('of the store')
  expect(load({ KEYLIME_VERIFIER_SERVER_KEY_PASSWORD: 'of the shell' }).values.server_key_password.reveal()).toBe('of the shell')
})

test('where it came from is shown, and the secret is not', () => {
  put('of the store')
  const env = { CREDENTIALS_DIRECTORY: directory }
  const found = effectiveSettings('verifier', verifierOptions, { env, roots: roots() }).settings.find(
    ({ option }) => option === 'server_key_password',
  )!
  expect([found.value, originText(found.origin)]).toEqual(['[secret]', `credential ${NAME}`])
})

test('a credential for an option that is not secret is not taken: what it says must be seen', () => {
  put('12345', 'keylime.verifier.port')
  expect(load().origin.port).toBe('default')
})

test('one that is no password, or cannot be read, is an error that names it', () => {
  put('x'.repeat(5000))
  expect(load).toThrow(`credential ${NAME}: has 5000 bytes`)
  fs.rmSync(path.join(directory, NAME))
  fs.mkdirSync(path.join(directory, NAME))
  expect(load).toThrow(`credential ${NAME}: `)
})

test('only an absolute directory is systemd’s', () => {
  put('of the store')
  expect(
    readCredential('verifier', 'server_key_password', { CREDENTIALS_DIRECTORY: path.relative(process.cwd(), directory) }),
  ).toBeUndefined()
  expect(readCredential('verifier', 'server_key_password', {})).toBeUndefined()
})
