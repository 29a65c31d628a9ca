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

/** What every order says, however it is carried. */
export interface OrderParts {
  readonly agentId: string
  readonly payload: Payload
  /** Generation of the delivery before, as the verifier says; null for none. */
  readonly before: number | null
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** @param share the text that the machine gets of U. */
export function orderFor({ agentId, payload, before, now }: OrderParts, share: string, enrolment = newEnrolment()): DeliveryOrder {
  return {
    agent_id: agentId,
    enrolment,
    generation: nextGeneration(now, before),
    share_sha256: sha256(share),
    payload_sha256: payload.sealed === undefined ? null : sha256(payload.sealed),
    auth_tag: authTag(payload.k, agentId),
    challenge: randomAlphanumeric(CHALLENGE_LENGTH),
  }
}

const newEnrolment = () => randomBytes(ENROLMENT_SIZE).toString('hex')

export interface SealingParts extends OrderParts {
  readonly machine: JudgedMachine
  readonly operator: OperatorKey
}

/** Seals U to the TPM whose EK and AK were judged, and signs what is to be delivered. @throws KeylimeError `ek_rejected` where there is no EK that it could be sealed to. */
export function sealDelivery({ machine, operator, ...parts }: SealingParts): SealedDelivery {
  const { agentId, payload } = parts
  const { ek, ak } = machine
  if (ek.area === null)
    throw new KeylimeError(
      'ek_rejected',
      `the registrar has no EK of agent ${agentId} that can be read: nothing can be sealed to its TPM`,
      {
        hint: 'nothing was sent; register the agent again',
      },
    )
  const enrolment = newEnrolment()
  const share = sealShare({ ek: ek.area, akName: ak.name, share: payload.u, agentId, enrolment, random: randomBytes })
  const order = orderFor(parts, share, enrolment)
  return { mailbox: { ...signOrder(order, operator.key, operator.certificate.pem), share, payload: payload.sealed ?? null }, order }
}
