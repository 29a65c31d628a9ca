import { type KeyObject, randomBytes } from 'node:crypto'
import type { DeliveryReport, Mailbox } from '../src/core/api/push/delivery.ts'
import { authTag, challengeHmac } from '../src/core/payload/auth-tag.ts'
import { type DeliveryOrder, sha256, signOrder } from '../src/core/payload/delivery-order.ts'
import { sealPayload } from '../src/core/payload/seal.ts'
import { splitKey } from '../src/core/payload/split-key.ts'

/** What an operator ordered for one machine, with what nobody but the two may know. */
export interface OrderedDelivery {
  mailbox: Mailbox
  order: DeliveryOrder
  k: Buffer
  u: Buffer
  v: Buffer
  plaintext: Buffer
  /** That the machine has K. */
  proof: string
  /** What an enrolment has of it. */
  enrolment: { v: string; delivery: Mailbox }
  /** What the machine says of it. */
  report(changes?: Partial<DeliveryReport>): DeliveryReport
}

export interface DeliveryGiven {
  agentId: string
  /** Of an operator, with the certificate in PEM. */
  signer: { key: KeyObject; certificate: string }
  /** Seals U to the machine; default: nothing opens it. */
  seal?: (u: Buffer, enrolment: string) => string
  /** Null: only a key is delivered. */
  plaintext?: Buffer | null
  changes?: Partial<DeliveryOrder>
}

let generations = Date.now()

/** A delivery as a tenant makes it. */
export function orderedDelivery({ agentId, signer, seal, plaintext = randomBytes(200), changes = {} }: DeliveryGiven): OrderedDelivery {
  const [k, v, enrolment] = [randomBytes(32), randomBytes(32), randomBytes(16).toString('hex')]
  const u = splitKey(k, v)
  const share = seal?.(u, enrolment) ?? randomBytes(300).toString('base64')
  const payload = plaintext && sealPayload(k, randomBytes(16), plaintext)
  const challenge = randomBytes(16).toString('hex')
  const order: DeliveryOrder = {
    agent_id: agentId,
    enrolment,
    generation: ++generations,
    share_sha256: sha256(share),
    payload_sha256: payload === null ? null : sha256(payload),
    auth_tag: authTag(k, agentId),
    challenge,
    ...changes,
  }
  const mailbox = { ...signOrder(order, signer.key, signer.certificate), share, payload }
  const proof = challengeHmac(k, challenge)
  const report = (said: Partial<DeliveryReport> = {}): DeliveryReport => ({
    ...{ enrolment: order.enrolment, generation: order.generation, state: 'unpacked', files: 2, script: 'none', proof },
    ...said,
  })
  const secrets = { k, u, v, plaintext: plaintext ?? Buffer.alloc(0) }
  return { ...secrets, mailbox, order, proof, enrolment: { v: v.toString('base64'), delivery: mailbox }, report }
}
