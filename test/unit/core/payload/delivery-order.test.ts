import { generateKeyPairSync } from 'node:crypto'
import type { KeylimeError } from '../../../../src/core/errors.ts'
import {
  type Delivered,
  type DeliveryOrder,
  nextGeneration,
  type SignedOrder,
  sha256,
  signOrder,
  verifyOrder,
} from '../../../../src/core/payload/delivery-order.ts'
import { makeCrl, parseCrl } from '../../../../src/core/pki/crl.ts'
import type { ClientTrust } from '../../../../src/core/pki/judge-client.ts'
import type { Role } from '../../../../src/core/pki/roles.ts'
import { DAY, ecPair, leaf, NOW, type Pair, root, rsaPair } from '../pki/fixtures.ts'

const authority = await root('Ours')
const trust: ClientTrust = { authorities: [authority.certificate], lists: [], authorized: [{ kind: 'default' }] }
const given: Delivered = { agentId: 'machine-1', share: 'the sealed share', payload: 'the sealed payload' }
const order: DeliveryOrder = {
  agent_id: given.agentId,
  enrolment: '0123456789abcdef0123456789abcdef',
  generation: NOW,
  share_sha256: sha256(given.share),
  payload_sha256: sha256(given.payload!),
  auth_tag: 'a'.repeat(96),
  challenge: 'challenge0challenge0',
}
const operator = ecPair()

async function signedBy(
  pair: Pair,
  changes: Partial<DeliveryOrder> = {},
  role: Role | null = 'operator',
  of = authority,
): Promise<SignedOrder> {
  return signOrder({ ...order, ...changes }, pair.privateKey, (await leaf(of, 'alice', { pair, ...(role ? { role } : {}) })).pem)
}
const good = await signedBy(operator)
const refusalOf = (signed: SignedOrder, what: Delivered = given, who: ClientTrust = trust, now = NOW): string => {
  try {
    verifyOrder(signed, what, who, now)
    return 'taken'
  } catch (error) {
    const { code, message, hint } = error as KeylimeError
    return hint ? `${code}: ${message}` : `without a hint: ${message}`
  }
}

test.each(['ec', 'rsa', 'ed25519'] as const)('an operator with a key of %s orders', async (kind) => {
  const pair = kind === 'rsa' ? rsaPair() : kind === 'ec' ? operator : generateKeyPairSync('ed25519')
  const verified = verifyOrder(await signedBy(pair), given, trust, NOW)
  expect(verified).toMatchObject({ ...order, operator: expect.stringContaining('alice') })
  expect(verified.digest).toMatch(/^[0-9a-f]{64}$/)
})

test('what lies beside the order is exactly what was signed, for exactly this machine', () => {
  expect(refusalOf(good)).toBe('taken')
  expect(refusalOf(good, { ...given, agentId: 'machine-2' })).toMatch(/refused.*another machine/)
  expect(refusalOf(good, { ...given, share: 'another' })).toMatch(/refused.*share is not the one/)
  expect(refusalOf(good, { ...given, payload: 'another' })).toMatch(/refused.*payload is not the one/)
  expect(refusalOf(good, { ...given, payload: null })).toMatch(/refused.*payload is not the one/)
})

test('an order for a key alone takes no payload along', async () => {
  const alone = await signedBy(operator, { payload_sha256: null })
  expect(refusalOf(alone, { ...given, payload: null })).toBe('taken')
  expect(refusalOf(alone)).toMatch(/payload is not the one/)
})

test('nobody but an operator of this authority orders', async () => {
  expect(refusalOf(await signedBy(ecPair(), {}, 'server'))).toMatch(/^refused/)
  expect(refusalOf(await signedBy(ecPair(), {}, null))).toMatch(/^refused/)
  expect(refusalOf(await signedBy(ecPair(), {}, 'operator', await root('Nobody')))).toMatch(/^refused.*not in trusted_client_ca/)
  expect(refusalOf(await signedBy(ecPair(), {}, 'operator', await root('Ours')))).toMatch(/^refused.*signature/)
})

test('an authority that gives no roles has no operators, and the refusal says what gives it some', async () => {
  const plain = await root('Plain', { givesRoles: false })
  const who = { ...trust, authorities: [plain.certificate] }
  const signed = await signedBy(ecPair(), {}, null, plain)
  for (const by of [signed, await signedBy(ecPair(), {}, 'operator', plain)]) expect(refusalOf(by, given, who)).toMatch(/^refused/)
  expect(() => verifyOrder(signed, given, who, NOW)).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('keylime ca reissue') }),
  )
})

test('an operator whose certificate has ended, or was revoked, orders nothing more', async () => {
  expect(refusalOf(good, given, trust, NOW + 2 * DAY)).toMatch(/^refused.*expired/)
  const list = await makeCrl(authority, { number: 1n, thisUpdate: NOW, nextUpdate: NOW + DAY, revoked: [{ serial: 7n, date: NOW }] })
  const lists = [{ authority: authority.certificate, list: parseCrl(list) }]
  expect(refusalOf(good, given, { ...trust, lists })).toMatch(/^refused.*revoked/)
})

test('an order cannot be changed, nor carried under another operator’s certificate', async () => {
  const other = await signedBy(ecPair())
  expect(refusalOf({ ...good, certificate: other.certificate })).toMatch(/^refused.*does not hold/)
  expect(refusalOf({ ...good, order: good.order.replace(String(NOW), String(NOW + 1)) })).toMatch(/^refused.*does not hold/)
  expect(refusalOf({ ...good, order: `${good.order} ` })).toMatch(/^refused.*does not hold/)
  expect(refusalOf({ ...good, signature: '' })).toMatch(/^refused.*does not hold/)
})

test.each<[string, Record<string, unknown>]>([
  ['a generation of nought', { generation: 0 }],
  ['a generation that is none', { generation: '9' }],
  ['an enrolment that is none', { enrolment: '../..' }],
  ['a challenge that is none', { challenge: 'no' }],
  ['a challenge with more behind it', { challenge: `${order.challenge}\n` }],
  ['a member more', { more: 1 }],
])('what an operator signed all the same is malformed with %s', async (_what, changes) => {
  expect(refusalOf(await signedBy(operator, changes as Partial<DeliveryOrder>))).toMatch(/^malformed/)
})

test('an order that is too long is not even looked at', () => {
  expect(refusalOf({ ...good, order: good.order.padEnd(5000) })).toMatch(/^refused: .*5000 characters/)
})

test('generations grow, whatever clocks say', () => {
  expect(nextGeneration(NOW, null)).toBe(NOW)
  expect(nextGeneration(NOW, NOW - 5)).toBe(NOW)
  expect(nextGeneration(NOW, NOW)).toBe(NOW + 1)
  expect(nextGeneration(NOW, NOW + DAY)).toBe(NOW + DAY + 1)
})

test('an order of days ahead is none: it would lock out every later one of its machine', async () => {
  for (const generation of [NOW + 2 * DAY + 1, Date.UTC(2199, 0), Number.MAX_SAFE_INTEGER])
    expect(refusalOf(await signedBy(operator, { generation }))).toMatch(/^refused.*days ahead/)
  expect(refusalOf(await signedBy(operator, { generation: NOW + 2 * DAY }))).toBe('taken')
})

test('no operator signs one because a verifier says that there was one before', () => {
  for (const before of [NOW + DAY + 1, Number.MAX_SAFE_INTEGER - 1])
    expect(() => nextGeneration(NOW, before)).toThrow(expect.objectContaining({ code: 'conflict', hint: expect.stringContaining('clock') }))
})
