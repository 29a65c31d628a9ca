import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { caOptions } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { OptionTable } from '../../../src/config/option.ts'
import { tenantOptions } from '../../../src/config/tenant.ts'
import { verifierOptions } from '../../../src/config/verifier.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-open-'))
  fs.mkdirSync(path.join(directory, 'verifier.conf.d'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const put = (name: string, text: string, mode = 0o644) => {
  fs.writeFileSync(path.join(directory, name), text)
  fs.chmodSync(path.join(directory, name), mode)
  return path.join(directory, name)
}
const warnings = (component: 'verifier' | 'tenant' | 'ca', table: OptionTable, env = {}) =>
  loadConfig(component, table, { env, roots: { etc: directory, usrEtc: path.join(directory, 'none') } }).warnings

test.each([
  ['a password', 'tenant', tenantOptions, '[tenant]\nclient_key_password = hunter2\n', 'client_key_password'],
  ['a URL with a password', 'verifier', verifierOptions, '[verifier]\ndatabase_url = postgresql://k:hunter2@db/k\n', 'database_url'],
  ['a token in a URL', 'verifier', verifierOptions, '[revocations]\nwebhook_url = https://h/x?token=hunter2\n', 'webhook_url'],
] as const)(
  'a file that every user may read, with %s in it, is warned about, and the secret is not shown',
  (_, role, table, text, name) => {
    const file = put(`${role}.conf`, text)
    const found = warnings(role, table)
    expect(found).toEqual([expect.stringContaining(`${file} can be read by every user of this machine (mode 644)`)])
    expect(found[0]).toContain(`(${name})`)
    expect(found[0]).toContain(`chmod o= ${file}`)
    expect(found[0]).not.toContain('hunter2')
    fs.chmodSync(file, 0o640)
    expect(warnings(role, table)).toEqual([])
  },
)

test('also when a later file or the environment has the last word', () => {
  const file = put('verifier.conf', '[verifier]\nserver_key_password = old\nclient_key_password = old\n')
  put('verifier.conf.d/50.conf', '[verifier]\nserver_key_password = new\n', 0o600)
  expect(warnings('verifier', verifierOptions, { KEYLIME_VERIFIER_CLIENT_KEY_PASSWORD: 'new' })).toEqual([
    expect.stringMatching(new RegExp(`^${file} can be read .*\\(server_key_password, client_key_password\\)`)),
  ])
})

test.each([
  ['a word that stands for nothing', 'ca', caOptions, '[ca]\npassword = default\n'],
  ['an empty password', 'tenant', tenantOptions, '[tenant]\nclient_key_password =\n'],
  ['a URL without a password', 'verifier', verifierOptions, '[verifier]\ndatabase_url = postgresql://k@db/k\n'],
] as const)('%s is not a secret', (_, role, table, text) => {
  put(`${role}.conf`, text)
  expect(warnings(role, table)).toEqual([])
})
