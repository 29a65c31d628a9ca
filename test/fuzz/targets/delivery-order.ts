import { createPrivateKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { parseMessage } from '../../../src/core/api/parse-message.ts'
import { mailbox } from '../../../src/core/api/push/delivery.ts'
import { sha256, signOrder, soundOrder, verifyOrder } from '../../../src/core/payload/delivery-order.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const fileOf = (name: string) => readFileSync(path.resolve(import.meta.dirname, '../../vectors/fuzz/orders', name), 'utf8')
const NOW = Date.UTC(2027, 0, 1)
const AGENT = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'
const SHARE = 'c2hhcmU='
const PAYLOAD = 'cGF5bG9hZA=='
const OPERATOR = fileOf('operator.pem')
const KEY = createPrivateKey(fileOf('operator-key.pem'))
const TRUST = { authorities: [parseCertificate(fileOf('authority.pem'))], lists: [], authorized: [] }
const ORDER = {
  ...{ agent_id: AGENT, enrolment: '0'.repeat(32), generation: 7, share_sha256: sha256(SHARE), payload_sha256: sha256(PAYLOAD) },
  ...{ auth_tag: '0'.repeat(96), challenge: 'a'.repeat(16) },
}
const GOOD = signOrder(ORDER, KEY, OPERATOR)
const inMailbox = (changes: object) => Buffer.from(JSON.stringify({ ...GOOD, share: SHARE, payload: PAYLOAD, ...changes }))
const REFUSED = ['refused', 'malformed']

/**
 * What lies in a mailbox: only what an operator has signed is delivered, with the share and the payload that were signed. And whatever an operator signs: an order of this form, for
 * this machine, or nothing.
 */
export const deliveryOrder: Target = {
  seeds: () => [
    inMailbox({}),
    inMailbox({ share: 'b3RoZXI=' }),
    inMailbox({ payload: null }),
    inMailbox(signOrder({ ...ORDER, agent_id: 'b' }, KEY, OPERATOR)),
    inMailbox(signOrder(ORDER, createPrivateKey(fileOf('server-key.pem')), fileOf('server.pem'))),
    Buffer.from(GOOD.order),
    Buffer.from(GOOD.order.replace('keylime-delivery-order-1', 'keylime-delivery-order-2')),
  ],
  maxBytes: 8192,
  words: ['-----BEGIN CERTIFICATE-----\\n', ...Object.keys({ ...GOOD, ...ORDER, share: '', payload: '' }).map((name) => `"${name}":`)],
  run(input) {
    const box = unlessRefused(['invalid_request'], () => parseMessage(mailbox, parseBoundedJson(input, 'the mailbox'), 'the mailbox'))
    if (box) {
      const order = unlessRefused(REFUSED, () => verifyOrder(box, { agentId: AGENT, share: box.share, payload: box.payload }, TRUST, NOW))
      const isSigned = box.order === GOOD.order && box.share === SHARE && box.payload === PAYLOAD
      if (order) demand(isSigned && order.operator === 'CN=operator', 'what no operator ordered is delivered')
      if (input.equals(inMailbox({}))) demand(order !== null, 'what an operator ordered is not delivered')
    }
    const order = input.toString('utf8')
    const signature = sign(null, Buffer.from(`keylime delivery order 1\0${order}`), KEY).toString('base64')
    const signed = { order, signature, certificate: OPERATOR }
    const read = unlessRefused(REFUSED, () => soundOrder(signed, { agentId: AGENT, share: SHARE, payload: PAYLOAD }, NOW))
    if (!read) return
    demand(read.agent_id === AGENT && read.share_sha256 === ORDER.share_sha256, 'the order is for another machine, or another share')
    demand(/^[0-9a-f]{32} [0-9a-f]{96}$/.test(`${read.enrolment} ${read.auth_tag}`), 'names that are none')
    demand(Number.isSafeInteger(read.generation) && read.generation > 0, `generation ${read.generation}`)
    demand(read.digest === sha256(order), 'another digest')
  },
}
