import type { DeliveryReport } from '../api/push/delivery.ts'
import { isFinal } from '../attestation/delivery.ts'
import type { StoredDelivery } from '../attestation/stored-agent.ts'
import type { SoundOrder } from '../payload/delivery-order.ts'
import type { Operator, VerifierEvent } from './verifier-event.ts'

/** What was put into a mailbox: names and digests, nothing of the content. @param bytes of the text of the sealed payload; null for none. */
export const deliveryOrdered = (order: SoundOrder, { bytes, operator }: { bytes: number | null; operator: Operator }): VerifierEvent => ({
  type: 'delivery_ordered',
  agent_id: order.agent_id,
  operator,
  enrolment: order.enrolment,
  generation: order.generation,
  order_sha256: order.digest,
  signer: order.operator,
  payload_bytes: bytes,
})

/** @param enrolment of a mailbox; empty for a share of a key that was to be handed over. */
export const deliveryDropped = (agent_id: string, enrolment: string): VerifierEvent => ({ type: 'delivery_dropped', agent_id, enrolment })

/** What a machine said of its delivery, where it is the end of it and was not said before. */
export function reportEvents(agent_id: string, before: StoredDelivery, report: DeliveryReport): VerifierEvent[] {
  const wasFinal = before.report !== null && isFinal(before.report) && before.report.state === report.state
  if (!isFinal(report) || wasFinal) return []
  const { enrolment, generation, state, files, script } = report
  if (state === 'refused') return [{ type: 'delivery_refused', agent_id, enrolment, generation, reason: report.error ?? '' }]
  return [
    { type: 'delivery_ended', agent_id, enrolment, generation, state, files, script, reason: report.error ?? report.script_error ?? '' },
  ]
}
