import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type AuthorizedClient, parseAuthorizedClient } from '../../../../src/core/pki/authorized-clients.ts'
import { makeCrl } from '../../../../src/core/pki/crl.ts'
import type { Certificate } from '../../../../src/core/pki/types.ts'
import { openClientCheck, serverClients } from '../../../../src/io/http/client-check.ts'
import type { Logger } from '../../../../src/io/log/logger.ts'
import { DAY, leaf, NOW, root } from '../../core/pki/fixtures.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-clients-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))
const file = path.join(dir, 'cacert.crt')
const [ours, theirs] = [await root('Ours'), await root('Theirs', { givesRoles: false })]
const operator = await leaf(ours, 'alice', { role: 'operator' })
const warnings: string[] = []
const say = (text: string) => void warnings.push(text)
const logger = { info: say, warn: say, error: say } as unknown as Logger

/** A connection whose client has shown this certificate, in its handshake. */
const connection = (shown?: Certificate) =>
  ({ getPeerX509Certificate: () => shown && new X509Certificate(shown.der) }) as unknown as TLSSocket

const DEFAULT: AuthorizedClient[] = [{ kind: 'default' }]
function opened(changes: Partial<Parameters<typeof openClientCheck>[0]> = {}) {
  const clock = { now: NOW }
  const trusted = [{ file, pem: ours.certificate.pem }]
  const check = openClientCheck({ trusted, revocationLists: ['default'], authorized: DEFAULT, now: () => clock.now, logger, ...changes })
  return { check, clock }
}

test('who may call is asked again when the certificate ends, and when a list says something else', async () => {
  const { check, clock } = opened()
  const [one, other] = [connection(operator), connection(operator)]
  expect([check.whyRefused(one), check.whyRefused(other)]).toEqual([undefined, undefined])
  clock.now = operator.notAfter
  expect(check.whyRefused(one)).toBeUndefined()
  clock.now = operator.notAfter + 1
  expect(check.whyRefused(one)).toMatch(/expired/)
  clock.now = NOW
  const revoked = [{ serial: operator.serial, date: NOW }]
  fs.writeFileSync(path.join(dir, 'cacrl.der'), await makeCrl(ours, { number: 1n, thisUpdate: NOW, nextUpdate: NOW + DAY, revoked }))
  expect(check.whyRefused(other)).toMatch(/was revoked on/)
  fs.rmSync(path.join(dir, 'cacrl.der'))
})

test('of who was refused the answer stands for a second', async () => {
  const { check, clock } = opened()
  const socket = connection(operator)
  clock.now = operator.notBefore - 500
  expect(check.whyRefused(socket)).toMatch(/not valid before/)
  clock.now = operator.notBefore + 500
  expect(check.whyRefused(socket)).toMatch(/not valid before/)
  clock.now = operator.notBefore + 501
  expect(check.whyRefused(socket)).toBeUndefined()
})

test('a certificate that is missing, or that this program cannot read, is nobody’s', () => {
  const { check } = opened()
  const odd = { getPeerX509Certificate: () => ({ raw: Buffer.from('3000', 'hex') }) } as unknown as TLSSocket
  expect([check.whyRefused(connection()), check.whyRefused(odd)]).toEqual(Array(2).fill('its certificate cannot be read'))
})

test.each([
  ['no certificate', '', 'holds no certificate'],
  ['something else', 'text!', 'cannot be used: the certificate is neither PEM nor base64'],
])('trusted_client_ca with %s is refused', (_what, pem, reason) => {
  expect(() => opened({ trusted: [{ file: 'f', pem }] })).toThrow(
    expect.objectContaining({ code: 'config_invalid', message: `trusted_client_ca: f ${reason}` }),
  )
})

test('all files of trusted_client_ca that cannot be used are told at once', () => {
  const trusted = ['f', 'g'].map((name) => ({ file: name, pem: '' }))
  expect(() => opened({ trusted })).toThrow(/f holds no certificate[\s\S]*g holds no certificate/)
})

test('the chain of a client is judged at each request where an authority that is trusted has issued its certificate itself', async () => {
  const { check } = opened()
  const between = await leaf(theirs, 'bob', { role: 'operator' })
  expect([operator, undefined, between].map((shown) => check.judgesChain(connection(shown)))).toEqual([true, true, false])
})

test.each<[string, (typeof ours)[], string[], number]>([
  ['an authority without roles', [theirs], ['default'], 1],
  ['an authority without roles beside one with roles', [ours, theirs], ['default'], 1],
  ['an authority without roles, and more entries', [theirs], ['name:alice', 'default'], 1],
  ['an authority without roles, and names of those who may call', [theirs], ['name:alice'], 0],
  ['an authority with roles', [ours], ['default'], 0],
])('%s is warned of, or not', (_what, authorities, entries, count) => {
  warnings.splice(0)
  const options = { trusted_client_crl: ['default'], authorized_clients: entries.map(parseAuthorizedClient) }
  const pem = authorities.map(({ certificate }) => certificate.pem).join('')
  serverClients({ trusted: [{ file, pem }] }, options, dir, { now: () => NOW, logger })
  const text = `authorized_clients: ${file} gives no roles, so every certificate of it is an administrator's; name those who may call, or give it roles with \`keylime ca reissue\``
  expect(warnings).toEqual(Array(count).fill(text))
})
