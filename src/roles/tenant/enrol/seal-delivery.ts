import type { Mailbox } from '../../../core/api/push/delivery.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { authTag } from '../../../core/payload/auth-tag.ts'
import { type DeliveryOrder, nextGeneration, sha256, signOrder } from '../../../core/payload/delivery-order.ts'
import { sealShare } from '../../../core/payload/sealed-share.ts'
import { randomAlphanumeric, randomBytes } from '../../../io/random.ts'
import type { Payload } from './collect-payload.ts'
import type { JudgedMachine } from './judge-registered.ts'
import type { OperatorKey } from './operator-key.ts'

const CHALLENGE_LENGTH = 20
const ENROLMENT_SIZE = 16

/** What lies at the verifier until the machine comes for it. Nobody but this machine's TPM opens U, and nobody but an operator makes another. */
export interface SealedDelivery {
  readonly mailbox: Mailbox
  readonly order: DeliveryOrder
}

export interface SealingParts {
  readonly agentId: string
  readonly machine: JudgedMachine
  readonly payload: Payload
  readonly operator: OperatorKey
  /** Generation of the delivery before, as the verifier says; null for none. */
  readonly before: number | null
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** Seals U to the TPM whose EK and AK were judged, and signs what is to be delivered. @throws KeylimeError `ek_rejected` where there is no EK that it could be sealed to. */
export function sealDelivery({ agentId, machine, payload, operator, before, now }: SealingParts): SealedDelivery {
  const { ek, ak } = machine
  if (ek.area === null)
    throw new KeylimeError(
      'ek_rejected',
      `the registrar has no EK of agent ${agentId} that can be read: nothing can be sealed to its TPM`,
      {
        hint: 'nothing was sent; register the agent again',
      },
    )
  const enrolment = randomBytes(ENROLMENT_SIZE).toString('hex')
  const share = sealShare({ ek: ek.area, akName: ak.name, share: payload.u, agentId, enrolment, random: randomBytes })
  const sealed = payload.sealed ?? null
  const order: DeliveryOrder = {
    agent_id: agentId,
    enrolment,
    generation: nextGeneration(now, before),
    share_sha256: sha256(share),
    payload_sha256: sealed === null ? null : sha256(sealed),
    auth_tag: authTag(payload.k, agentId),
    challenge: randomAlphanumeric(CHALLENGE_LENGTH),
  }
  return { mailbox: { ...signOrder(order, operator.key, operator.certificate.pem), share, payload: sealed }, order }
}
