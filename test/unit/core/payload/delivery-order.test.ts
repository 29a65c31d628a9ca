import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import {
  type Delivered,
  type DeliveryOrder,
  nextGeneration,
  type SignedOrder,
  sha256,
  signOrder,
  soundOrder,
  verifyOrder,
} from '../../../../src/core/payload/delivery-order.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { makeCrl, parseCrl } from '../../../../src/core/pki/crl.ts'
import { DAY, ecPair, leaf, NOW, type Pair, root, rsaPair } from '../pki/fixtures.ts'

const ours = await root('Ours')
const theirs = await root('Theirs', { givesRoles: false })
const pair = ecPair()
const operator = (await leaf(ours, 'alice', { pair, role: 'operator' })).pem
const trust = (changes: object = {}) => ({ authorities: [ours.certificate, theirs.certificate], lists: [], authorized: [], ...changes })

const given: Delivered = { agentId: 'd432', share: 'c2hhcmU=', payload: 'cGF5bG9hZA==' }
const order = (changes: object = {}): DeliveryOrder => ({
  agent_id: given.agentId,
  enrolment: '0123456789abcdef0123456789abcdef',
  generation: 1_780_000_000_000,
  share_sha256: sha256(given.share),
  payload_sha256: sha256(given.payload!),
  auth_tag: 'ab'.repeat(48),
  challenge: 'Challenge1234567',
  ...changes,
})
const signed = signOrder(order(), pair.privateKey, operator)
const verified = (changes: Partial<SignedOrder> = {}, of: Partial<Delivered> = {}, by: object = {}, now = NOW) =>
  verifyOrder({ ...signed, ...changes }, { ...given, ...of }, trust(by), now)
/** Signed by the operator as it stands, whatever it is. */
const signedText = (text: string) => ({
  order: text,
  signature: sign('sha256', Buffer.from(`keylime delivery order 1\0${text}`), pair.privateKey).toString('base64'),
})

test('an operator’s order for this machine, share and payload is believed, and says who gave it', () => {
  expect(verified()).toEqual({ ...order(), digest: sha256(signed.order), operator: expect.stringContaining('alice') })
  expect(verified({}, { payload: Buffer.from(given.payload as string) })).toMatchObject({ agent_id: 'd432' })
})

test('an order for a key alone fits no payload', () => {
  const alone = signOrder(order({ payload_sha256: null }), pair.privateKey, operator)
  expect(verified(alone, { payload: null }).payload_sha256).toBeNull()
  expect(() => verified(alone)).toThrow('the payload is not the one that was signed')
  expect(() => verified({}, { payload: null })).toThrow('the payload is not the one that was signed')
})

test.each<[string, () => Pair]>([
  ['RSA', rsaPair],
  ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['Ed25519', () => generateKeyPairSync('ed25519')],
])('an operator may have a key of %s', async (_what, make) => {
  const own = make()
  const certificate = (await leaf(ours, 'bob', { pair: own, role: 'operator' })).pem
  expect(verified(signOrder(order(), own.privateKey, certificate)).operator).toContain('bob')
  expect(() => verified({ ...signOrder(order(), pair.privateKey, certificate) })).toThrow('does not hold')
})

test.each<[string, Partial<SignedOrder>]>([
  ['other text', { order: signed.order.replace('d432', 'd433') }],
  ['text with a space more', { order: ` ${signed.order}` }],
  ['another signature', { signature: randomBytes(70).toString('base64') }],
  ['no signature', { signature: '' }],
])('an order with %s does not hold', (_what, changes) => {
  expect(() => verified(changes)).toThrow('does not hold')
})

test('what the operator’s key signed for another purpose is no order', () => {
  const text = signed.order
  const signature = sign('sha256', Buffer.from(text), pair.privateKey).toString('base64')
  expect(() => verified({ order: text, signature })).toThrow('does not hold')
})

test.each<[string, Partial<Delivered>, string]>([
  ['machine', { agentId: 'd433' }, 'for another machine'],
  ['share', { share: 'b3RoZXI=' }, 'share is not the one'],
  ['payload', { payload: 'b3RoZXI=' }, 'payload is not the one'],
])('an order is for no other %s', (_what, of, text) => {
  expect(() => verified({}, of)).toThrow(text)
})

test.each<[string, () => Promise<string>, string]>([
  ['a server, such as the verifier', async () => (await leaf(ours, 'verifier', { pair, role: 'server' })).pem, 'not for clients'],
  ['a machine', async () => (await leaf(ours, 'machine', { pair })).pem, 'has no role'],
  [
    'an operator of another authority',
    async () => (await leaf(await root('Nobody'), 'x', { pair, role: 'operator' })).pem,
    'not in trusted',
  ],
  ['an authority of the same name', async () => (await leaf(await root('Ours'), 'x', { pair, role: 'operator' })).pem, 'signature'],
  [
    'one that calls itself operator at an authority that gives no roles',
    async () => (await leaf(theirs, 'x', { pair, role: 'operator' })).pem,
    'not in trusted',
  ],
])('the signature of %s counts for nothing', async (_what, certificate, text) => {
  const pem = await certificate()
  const other = signOrder(order(), pair.privateKey, pem)
  expect(() => verified(other)).toThrow(text)
  expect(soundOrder(other, given)).toMatchObject({ agent_id: 'd432' }) // for who keeps it, and trusts nobody
})

test('where no authority gives roles nobody may order, and the way out is said', () => {
  expect(() => verified({}, {}, { authorities: [theirs.certificate] })).toThrow(
    expect.objectContaining({ code: 'refused', hint: expect.stringContaining('keylime ca operator') }),
  )
})

test('an order of a certificate that has ended, or was revoked, is refused', async () => {
  expect(() => verified({}, {}, {}, NOW + 2 * DAY)).toThrow('expired')
  const crl = await makeCrl(ours, { number: 1n, thisUpdate: NOW, nextUpdate: NOW + DAY, revoked: [{ serial: 7n, date: NOW }] })
  expect(() => verified({}, {}, { lists: [{ authority: ours.certificate, list: parseCrl(crl) }] })).toThrow('revoked')
})

test.each<[string, object | string]>([
  ['of another type', { ...order(), type: 'keylime-delivery-order-2' }],
  ['with a member more', { ...order(), type: 'keylime-delivery-order-1', x: 1 }],
  ['with a member less', { type: 'keylime-delivery-order-1', agent_id: 'd432' }],
  ['with a generation that is no number', { ...order(), type: 'keylime-delivery-order-1', generation: '1' }],
  ['with a generation of none', { ...order(), type: 'keylime-delivery-order-1', generation: 0 }],
  ['that is no JSON', 'order'],
])('an order %s cannot be read, though an operator signed it', (_what, text) => {
  expect(() => verified(signedText(typeof text === 'string' ? text : JSON.stringify(text)))).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/malformed|invalid_request/) }),
  )
})

test('an order is bounded before its signature is looked at', () => {
  expect(() => verified(signedText('x'.repeat(5000)))).toThrow('5000 characters')
})

test('a certificate that is none is an error, no exception', () => {
  for (const certificate of ['', 'x', operator.slice(0, 200)])
    expect(() => verified({ certificate })).toThrow(expect.objectContaining({ name: 'KeylimeError' }))
})

test('generations rise, also when the clock was set back', () => {
  expect(nextGeneration(5000, null)).toBe(5000)
  expect(nextGeneration(5000, 4000)).toBe(5000)
  expect(nextGeneration(5000, 5000)).toBe(5001)
  expect(nextGeneration(5000, 9000)).toBe(9001)
})

test('an order of the first version is believed for ever', () => {
  const read = (name: string) => fs.readFileSync(path.join(import.meta.dirname, '../../../vectors/delivery', name), 'utf8')
  const { authority, now, given: of, ...mailbox } = JSON.parse(read('order-1.json'))
  const by = { authorities: [parseCertificate(authority)], lists: [], authorized: [] }
  expect(verifyOrder(mailbox, of, by, now)).toMatchObject({ agent_id: of.agentId, generation: 1_780_000_000_000 })
})
