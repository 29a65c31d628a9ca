import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { privateKeyPem, publicKeyPem } from '../../../../../src/core/pki/keys.ts'
import { openTransportKey } from '../../../../../src/roles/agent/identity/transport-key.ts'
import { rsaKeyPair } from '../../../../rsa-keys.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-transport-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))
const file = (name: string) => path.join(directory, name)
const payload = (password = '') => ({ file: file('payload-private.pem'), password })
const server = (password = '') => ({ file: file('server-private.pem'), password })
const rsa = (bits = 2048) => rsaKeyPair(bits).privateKey
const publicOf = (key: ReturnType<typeof rsa>) => publicKeyPem(createPublicKey(key))

test('it is made where there is none, and kept', async () => {
  const first = await openTransportKey(payload(), server())
  expect(fs.statSync(payload().file).mode & 0o777).toBe(0o600)
  expect((await openTransportKey(payload(), server())).publicPem).toBe(first.publicPem)
})
test('the RSA key of TLS of an older agent is taken over, and stays the one when that of TLS is replaced', async () => {
  const older = rsa()
  fs.writeFileSync(server().file, privateKeyPem(older, 'server password'), { mode: 0o600 })
  expect((await openTransportKey(payload('payload password'), server('server password'))).publicPem).toBe(publicOf(older))
  fs.writeFileSync(server().file, privateKeyPem(rsa()), { mode: 0o600 })
  expect((await openTransportKey(payload('payload password'), server())).publicPem).toBe(publicOf(older))
})
test.each<[string, () => void]>([
  ['there is a key of the payload', () => fs.writeFileSync(payload().file, privateKeyPem(rsa()), { mode: 0o600 })],
  [
    'the key of TLS is elliptic',
    () => fs.writeFileSync(server().file, privateKeyPem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey), { mode: 0o600 }),
  ],
  ['the key of TLS is short', () => fs.writeFileSync(server().file, privateKeyPem(rsa(1024)), { mode: 0o600 })],
])('the key of TLS is not taken when %s', async (_why, prepare) => {
  const older = rsa()
  fs.writeFileSync(server().file, privateKeyPem(older), { mode: 0o600 })
  prepare()
  expect((await openTransportKey(payload(), server())).publicPem).not.toBe(publicOf(older))
})
test('nor when the operator has named the files', async () => {
  const older = rsa()
  fs.writeFileSync(server().file, privateKeyPem(older), { mode: 0o600 })
  expect((await openTransportKey(payload(), null)).publicPem).not.toBe(publicOf(older))
})
