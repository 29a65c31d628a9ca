import { createPrivateKey, type KeyObject, randomBytes } from 'node:crypto'
import type { Mailbox } from '../src/core/api/push/delivery.ts'
import { authTag } from '../src/core/payload/auth-tag.ts'
import { type DeliveryOrder, sha256, signOrder } from '../src/core/payload/delivery-order.ts'
import { sealPayload } from '../src/core/payload/seal.ts'
import { sealShare } from '../src/core/payload/sealed-share.ts'
import { splitKey } from '../src/core/payload/split-key.ts'
import type { PublicArea } from '../src/core/tpm/public-area.ts'

/** For whom a payload is sealed, and who orders it. */
export interface SealedFor {
  agentId: string
  ek: PublicArea
  ak: PublicArea
  /** PEM, of an operator. */
  signer: { cert: string; key: string | KeyObject }
}

export interface SealedDelivery {
  mailbox: Mailbox
  order: DeliveryOrder
  k: Buffer
  u: Buffer
  v: Buffer
}

/** What a tenant leaves for a machine that it cannot reach. @param changes of the order, after which it is signed. */
export function sealedDelivery(
  { agentId, ek, ak, signer }: SealedFor,
  content: Buffer | null,
  changes: Partial<DeliveryOrder> = {},
): SealedDelivery {
  const [k, v] = [randomBytes(32), randomBytes(32)]
  const u = splitKey(k, v)
  const enrolment = changes.enrolment ?? randomBytes(16).toString('hex')
  const share = sealShare({ agentId, enrolment, ek, akName: ak.name, share: u, random: randomBytes })
  const payload = content && sealPayload(k, randomBytes(16), content)
  const order: DeliveryOrder = {
    agent_id: agentId,
    enrolment,
    generation: Date.now(),
    share_sha256: sha256(share),
    payload_sha256: payload && sha256(payload),
    auth_tag: authTag(k, agentId),
    challenge: randomBytes(16).toString('hex'),
    ...changes,
  }
  const key = typeof signer.key === 'string' ? createPrivateKey(signer.key) : signer.key
  return { mailbox: { ...signOrder(order, key, signer.cert), share, payload }, order, k, u, v }
}
