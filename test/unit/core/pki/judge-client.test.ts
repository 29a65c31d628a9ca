import { type AuthorizedClient, parseAuthorizedClient, publicKeyHash, withVerifiers } from '../../../../src/core/pki/authorized-clients.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { makeCrl, parseCrl } from '../../../../src/core/pki/crl.ts'
import { judgeClient } from '../../../../src/core/pki/judge-client.ts'
import { givesRoles, roleOf } from '../../../../src/core/pki/roles.ts'
import { DAY, der, ecPair, extension, handMade, leaf, NOW, oid, root } from './fixtures.ts'

const DEFAULT: AuthorizedClient[] = [{ kind: 'default' }]
const ours = await root('Ours')
const theirs = await root('Theirs', { givesRoles: false })
const trust = (changes: object = {}) => ({
  authorities: [ours.certificate, theirs.certificate],
  lists: [],
  authorized: DEFAULT,
  ...changes,
})
const reasonFor = async (client: Awaited<ReturnType<typeof leaf>>, changes: object = {}, now = NOW) => {
  const verdict = judgeClient(client, trust(changes), now)
  return verdict.ok ? undefined : (verdict.reason ?? 'refused without a reason')
}

test('a role is what the authority wrote, and only an authority of ours says that it gives any', async () => {
  expect([givesRoles(ours.certificate), givesRoles(theirs.certificate)]).toEqual([true, false])
  expect(roleOf(await leaf(ours, 'x', { role: 'operator' }))).toBe('operator')
  expect(roleOf(await leaf(ours, 'x', { role: 'server' }))).toBe('server')
  expect(roleOf(await leaf(ours, 'urn:keylime:role:operator'))).toBeUndefined()
})

test('the role decides for an authority that gives roles; for another any certificate that may be a client’s', async () => {
  expect(await reasonFor(await leaf(ours, 'x', { role: 'operator' }))).toBeUndefined()
  expect(await reasonFor(await leaf(ours, 'x'))).toContain('no role')
  expect(await reasonFor(await leaf(ours, 'x', { role: 'server' }))).toContain('not for clients')
  expect(await reasonFor(await leaf(theirs, 'x'))).toBeUndefined()
  expect(await reasonFor(await leaf(theirs, 'x', { role: 'server' }))).toContain('not for clients')
  expect(await reasonFor(await leaf(await root('Ours'), 'x', { role: 'operator' }))).toContain('signature')
  expect(await reasonFor(await leaf(await root('Nobody'), 'x'))).toContain('not in trusted_client_ca')
})

test('a certificate ends while its connection is open', async () => {
  const client = await leaf(ours, 'x', { role: 'operator' })
  expect(judgeClient(client, trust(), NOW)).toEqual({ ok: true, validUntil: NOW + DAY })
  expect(await reasonFor(client, {}, NOW + DAY + 1000)).toContain('expired')
  expect(await reasonFor(client, {}, NOW - DAY - 1000)).toContain('not valid before')
  expect(judgeClient(undefined, trust(), NOW)).toMatchObject({ ok: false })
})

test('what a list of its authority names is revoked, also when the list has ended or begins later', async () => {
  const client = await leaf(ours, 'x', { role: 'operator' })
  const list = async (authority: typeof ours, thisUpdate: number, serial: bigint) => ({
    authority: authority.certificate,
    list: parseCrl(await makeCrl(authority, { number: 1n, thisUpdate, nextUpdate: thisUpdate + DAY, revoked: [{ serial, date: NOW }] })),
  })
  for (const days of [0, -100, 100])
    expect(await reasonFor(client, { lists: [await list(ours, NOW + days * DAY, 7n)] })).toBe(
      `its certificate was revoked on ${new Date(NOW).toISOString()}`,
    )
  expect(await reasonFor(client, { lists: [await list(ours, NOW, 8n), await list(theirs, NOW, 7n)] })).toBeUndefined()
})

test.each([
  ['any', 'machine', undefined],
  ['name:machine', 'machine', 'no role'],
  ['name:alice', 'alice', undefined],
  ['name:Alice', 'alice', 'not among authorized_clients'],
  ['role:operator', 'alice', undefined],
  ['role:server', 'alice', 'not among authorized_clients'],
])('authorized_clients = %s lets %s call: %s', async (setting, name, expected) => {
  const client = await leaf(ours, name, name === 'machine' ? {} : { role: 'operator' })
  const reason = await reasonFor(client, { authorized: [parseAuthorizedClient(setting)] })
  if (expected) expect(reason).toContain(expected)
  else expect(reason).toBeUndefined()
})

test('a verifier’s certificate is no operator’s, and counts only where verifiers are let in beside operators', async () => {
  const client = await leaf(ours, 'verifier', { role: 'verifier' })
  const reason = (...authorized: AuthorizedClient[]) => reasonFor(client, { authorized })
  expect(await reason({ kind: 'default' })).toBe('its certificate is a verifier’s, which may call agents and read at the registrar')
  expect(await reason({ kind: 'name', name: 'verifier' })).toContain('a verifier’s')
  expect(await reason(...withVerifiers([{ kind: 'default' }]))).toBeUndefined()
  expect(withVerifiers([{ kind: 'name', name: 'alice' }])).toEqual([{ kind: 'name', name: 'alice' }])
})

test('a key is named by the hash of its SubjectPublicKeyInfo, with or without colons', async () => {
  const client = await leaf(ours, 'machine')
  const hash = publicKeyHash(client)
  for (const text of [hash, hash.toUpperCase(), hash.match(/../g)!.join(':')])
    expect(await reasonFor(client, { authorized: [parseAuthorizedClient(`key:${text}`)] })).toBeUndefined()
  expect(await reasonFor(await leaf(ours, 'machine'), { authorized: [parseAuthorizedClient(`key:${hash}`)] })).toContain('no role')
})

test('of an authority in between only the dates and the entries decide, where nobody gives roles', async () => {
  const client = await leaf(await root('Between'), 'alice')
  const alone = (now: number, ...entries: string[]) =>
    judgeClient(client, trust({ authorities: [theirs.certificate], authorized: entries.map(parseAuthorizedClient) }), now)
  expect(alone(NOW, 'any')).toEqual({ ok: true, validUntil: client.notAfter })
  expect(alone(client.notAfter, 'default')).toEqual({ ok: true, validUntil: client.notAfter })
  expect(alone(NOW, 'name:bob')).toEqual({ ok: false, reason: 'its certificate is not among authorized_clients' })
  expect(alone(client.notAfter + 1, 'any')).toEqual({ ok: false, reason: 'its certificate ended on 2026-06-02' })
  expect(alone(client.notBefore - 1, 'any')).toMatchObject({ ok: false, reason: expect.stringContaining('is not valid before') })
  const nobody = judgeClient(client, trust({ authorities: [] }), NOW)
  expect(nobody).toEqual({ ok: false, reason: 'its certificate comes from "CN=Between", which is not in trusted_client_ca itself' })
})

test('where something can be revoked, of an authority in between nobody counts: what it has revoked is not known', async () => {
  const between = await root('Between')
  const client = await leaf(between, 'alice')
  const list = parseCrl(await makeCrl(theirs, { number: 1n, thisUpdate: NOW, nextUpdate: NOW + DAY, revoked: [] }))
  const lists = [{ authority: theirs.certificate, list }]
  const authorized = [parseAuthorizedClient('any')]
  const judged = (authorities: readonly (typeof client)[]) => judgeClient(client, trust({ authorities, lists, authorized }), NOW)
  expect(judged([theirs.certificate])).toMatchObject({ ok: false, reason: expect.stringContaining('not in trusted_client_ca itself') })
  expect(judged([theirs.certificate, between.certificate])).toMatchObject({ ok: true })
})

test.each([
  ['of clients', '2b06010505070302', true],
  ['of anything', '551d2500', true],
  ['of servers', '2b06010505070301', false],
])('a certificate for the use %s may call: %s', (_what, usage, answer) => {
  const { certificate, key } = theirs
  const parts = { subject: der(0x30), issuer: certificate.subjectName.der, key, publicKey: ecPair().publicKey }
  const client = parseCertificate(handMade({ ...parts, extensions: [extension('551d25', false, der(0x30, oid(usage)))] }))
  expect(judgeClient(client, trust(), NOW).ok).toBe(answer)
})

test('names that an authority does not allow are left to the TLS library, which knows them', async () => {
  const { key, certificate } = ours
  const authority = { key, publicKey: certificate.publicKey, subject: certificate.subjectName.der, issuer: certificate.subjectName.der }
  const only = der(0x30, der(0xa0, der(0x30, der(0x82, Buffer.from('example')))))
  const extensions = [extension('551d13', true, Buffer.from('30030101ff', 'hex')), extension('551d1e', true, only)]
  const authorities = [parseCertificate(handMade({ ...authority, extensions }))]
  expect(await reasonFor(await leaf(ours, 'x'), { authorities })).toBeUndefined()
})

test('of several entries one is enough', async () => {
  const client = await leaf(ours, 'alice', { role: 'operator' })
  const entries = ['name:bob', 'name:alice', 'role:server'].map(parseAuthorizedClient)
  expect(await reasonFor(client, { authorized: entries })).toBeUndefined()
  expect(await reasonFor(client, { authorized: [] })).toContain('not among authorized_clients')
})

test.each([
  '',
  'operator',
  'role:',
  'role:admin',
  'name:',
  'xname:alice',
  'key:abc',
  ...['', 'x', '00'].map((more) => `key:${'0'.repeat(63)}${more}`),
  `key:x${'0'.repeat(64)}`,
  'everybody',
])('authorized_clients = "%s" is refused', (text) => {
  expect(() => parseAuthorizedClient(text)).toThrow('must be')
})
