import { generateKeyPairSync, sign } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type ImaKeyOptions, imaKeyring } from '../../../../../src/roles/tenant/policies/ima-keys.ts'
import { ThrowAwayGpg } from '../../../../gpg.ts'

const vector = (name: string) => path.resolve(import.meta.dirname, '../../../../vectors/ima', name)
const [RSA, EC] = ['rsa2048pub.pem', 'secp256k1pub.pem'].map(vector) as [string, string]
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-ima-keys-'))
const gpg = new ThrowAwayGpg()
const server = http.createServer((request, response) => {
  const file = path.join(dir, request.url!)
  if (fs.existsSync(file)) response.end(fs.readFileSync(file))
  else response.writeHead(404).end()
})
let url = ''
beforeAll(async () => {
  gpg.makeKey('mine')
  gpg.makeKey('other')
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await new Promise((done) => server.close(done))
  gpg.remove()
  fs.rmSync(dir, { recursive: true })
})

function file(name: string, bytes: string | Buffer): string {
  fs.writeFileSync(path.join(dir, name), bytes)
  return path.join(dir, name)
}
const keyIds = async (options: ImaKeyOptions) => JSON.parse(await imaKeyring(options)).keyids
const pgpKey = (name: string) => file(`${name}.asc`, gpg.publicKey(name, 'armor'))
const pgpSignature = (of: string) => file('pgp.sig', gpg.detached('mine', fs.readFileSync(of)))

test('keys for signed files become a keyring, by their key ids', async () => {
  expect(await keyIds({ imaKeys: [RSA, EC] })).toEqual([0xf3452d23, 0x531f4025])
  expect(await imaKeyring({})).toBe('')
  await expect(imaKeyring({ imaKeys: [vector('README.md')] })).rejects.toMatchObject({ code: 'invalid_request', hint: expect.any(String) })
})

test('a detached signature by an OpenPGP key or an EC key must fit; a key without one is taken', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ecKey = file('ec.pem', publicKey.export({ type: 'spki', format: 'pem' }))
  const ecSignature = file('ec.sig', sign('sha256', fs.readFileSync(EC), privateKey))
  const signed = { imaKeys: [RSA, EC], imaKeySigs: [pgpSignature(RSA), ecSignature] }
  expect(await keyIds({ ...signed, imaKeySigKeys: [pgpKey('mine'), ecKey] })).toHaveLength(2)
  expect(await keyIds({ imaKeys: [RSA, EC], imaKeySigs: [pgpSignature(RSA)], imaKeySigKeys: [pgpKey('mine')] })).toHaveLength(2)
  for (const [imaKeySigKeys, reason] of [
    [[pgpKey('other'), ecKey], /rsa2048pub\.pem: the key [0-9A-F]+ that signed it is in no keyring/],
    [[pgpKey('mine'), RSA], /secp256k1pub\.pem: .*a key of type rsa/],
    [[pgpKey('mine'), pgpKey('mine')], /secp256k1pub\.pem: it has no signature that gpgv can read/],
  ] as const)
    await expect(imaKeyring({ ...signed, imaKeySigKeys })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(reason),
    })
  const crossed = { imaKeys: [EC, RSA], imaKeySigs: [pgpSignature(RSA)], imaKeySigKeys: [pgpKey('mine')] }
  await expect(imaKeyring(crossed)).rejects.toThrow(/secp256k1pub\.pem: the signature of mine .* does not fit/)
  await expect(imaKeyring({ imaKeys: [RSA], imaKeySigs: [ecSignature], imaKeySigKeys: [ecKey] })).rejects.toThrow(
    'its signature does not match',
  )
})

test('signatures and keys that do not go together are a usage error', async () => {
  const usage = { code: 'usage', message: expect.stringContaining('--signature-verification-key-sig') }
  await expect(imaKeyring({ imaKeys: [RSA], imaKeySigs: [EC] })).rejects.toMatchObject(usage)
  await expect(imaKeyring({ imaKeys: [], imaKeySigs: [EC], imaKeySigKeys: [EC] })).rejects.toMatchObject(usage)
  await expect(imaKeyring({ imaKeyUrls: [url], imaKeySigUrls: [url] })).rejects.toMatchObject(usage)
})

test('a key by URL is fetched, and without TLS only when it is signed', async () => {
  file('key', fs.readFileSync(RSA))
  file('key.sig', fs.readFileSync(pgpSignature(RSA)))
  const imaKeySigUrls = [`${url}/key.sig`]
  const signed = { imaKeyUrls: [`${url}/key`], imaKeySigUrls, imaKeySigUrlKeys: [pgpKey('mine')] }
  expect(await keyIds({ ...signed, imaKeys: [EC] })).toEqual([0x531f4025, 0xf3452d23])
  await expect(imaKeyring({ imaKeyUrls: [`${url}/key`] })).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('without TLS'),
  })
  await expect(imaKeyring({ ...signed, imaKeyUrls: [`${url}/none`] })).rejects.toMatchObject({ code: 'not_found' })
  await expect(imaKeyring({ ...signed, imaKeySigUrls: [`${url}/none`] })).rejects.toMatchObject({ code: 'not_found' })
})
