import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { sha256, signOrder, soundOrder, verifyOrder } from '../../../../src/core/payload/delivery-order.ts'
import { credentialOf, openSealedShare } from '../../../../src/core/payload/sealed-share.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { activateCredential } from '../../../software-ek.ts'
import { ecPair, leaf, NOW, root } from '../pki/fixtures.ts'

const vector = (name: string) => JSON.parse(fs.readFileSync(path.join(import.meta.dirname, '../../../vectors/delivery', name), 'utf8'))

test('an order of the first version is believed for ever', () => {
  const { authority, now, given: of, ...mailbox } = vector('order-1.json')
  const by = { authorities: [parseCertificate(authority)], lists: [], authorized: [] }
  expect(verifyOrder(mailbox, of, by, now)).toMatchObject({ agent_id: of.agentId, generation: 1_780_000_000_000 })
})

test('a share of the first version opens for ever', () => {
  const old = vector('sealed-share-1.json')
  const privateKey = createPrivateKey(old.ek_private)
  const ek = { public: Buffer.from(old.ek, 'base64'), publicKey: createPublicKey(privateKey), privateKey }
  const gave = activateCredential(ek, Buffer.from(old.ak, 'base64'), credentialOf(old.sealed))
  expect(openSealedShare(old.sealed, gave, old.context).toString('hex')).toBe(old.share)
})

test('what an operator’s key signed for another purpose is no order; who keeps an order for others checks as much, and trusts nobody', async () => {
  const given = { agentId: 'd432', share: 'c2hhcmU=', payload: null }
  const [ours, pair] = [await root('Ours'), ecPair()]
  const of = { agent_id: 'd432', enrolment: 'ab'.repeat(16), generation: 1, challenge: 'Challenge1234567', auth_tag: 'ab'.repeat(48) }
  const order = { ...of, share_sha256: sha256(given.share), payload_sha256: null }
  const signed = signOrder(order, pair.privateKey, (await leaf(ours, 'machine', { pair })).pem)
  expect(soundOrder(signed, given, NOW)).toEqual({ ...order, digest: sha256(signed.order), operator: expect.stringContaining('machine') })
  const trust = { authorities: [ours.certificate], lists: [], authorized: [] }
  expect(() => verifyOrder(signed, given, trust, NOW)).toThrow('no role')
  const signature = sign('sha256', Buffer.from(signed.order), pair.privateKey).toString('base64')
  expect(() => soundOrder({ ...signed, signature }, given, NOW)).toThrow('does not hold')
  expect(() => soundOrder(signed, { ...given, agentId: 'd433' }, NOW)).toThrow('another machine')
})
