import type { EnrolmentUpdate } from '../../../core/api/verifier.ts'
import { vIsDue } from '../../../core/attestation/release.ts'
import { type ComesBy, comesBy, type StoredAgent } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { type SoundOrder, soundOrder } from '../../../core/payload/delivery-order.ts'
import type { NewMailbox } from '../../../io/db/mailbox-store.ts'
import type { Upload } from './read-upload.ts'

/** What an enrolment brings for the machine's mailbox, and what its signer ordered. */
export interface OrderedMailbox {
  mailbox: NewMailbox
  order: SoundOrder
}

interface Given {
  agentId: string
  upload: Upload<EnrolmentUpdate>
  before: StoredAgent | null
  /** Milliseconds since the epoch. */
  now: number
}

/**
 * Reads it. Whether the signer is an operator is for the machine to say; that the order fits what it comes with is found out now. @returns null for an enrolment without.
 * @throws KeylimeError `invalid_request`, `refused` or `malformed` for an order that does not fit, `conflict` for one that is not newer than the one before.
 */
export function orderedMailbox({ agentId, upload, before, now }: Given): OrderedMailbox | null {
  const { delivery, v } = upload.message
  if (!delivery) return null
  if (!v) throw new KeylimeError('invalid_request', 'a delivery comes with the V that opens it, and this one has none')
  const payload = delivery.payload === null ? null : (upload.text('delivery.payload') ?? Buffer.alloc(0))
  const { payload: _text, ...signed } = delivery
  const order = soundOrder(signed, { agentId, share: signed.share, payload }, now)
  const { enrolment, generation } = order
  if (before?.delivery && generation <= before.delivery.generation)
    throw new KeylimeError(
      'conflict',
      `the delivery order (${generation}) is not newer than the last one (${before.delivery.generation})`,
      {
        hint: 'order it again; is the clock of this machine slow?',
      },
    )
  const stored = { enrolment, generation, orderedAt: Math.floor(now / 1000), isKept: true, report: null }
  return { order, mailbox: { ...signed, payload, delivery: stored } }
}

/**
 * A machine that brings its evidence gets V with what was sealed for it, and in no other way: a V that waits to be posted would wait for ever, and nobody be told. @param after how it comes from
 * now on. @throws KeylimeError `conflict`.
 */
export function refuseStrandedV({ agentId, upload, before }: Omit<Given, 'now'>, after: ComesBy): void {
  const waits = before !== null && comesBy(before.enrolment) === 'pull' && vIsDue(before.state) && !before.delivery?.isKept
  if (after === 'pull' || !waits || upload.message.v !== undefined) return
  throw new KeylimeError(
    'conflict',
    `agent ${agentId} has not taken its payload yet, and a machine that brings its evidence accepts only sealed ones`,
    {
      hint: 'name the payload again with --push-model, which seals it; or let the machine take it first',
    },
  )
}

/** What waits for the machine that was enrolled, and not for the one that is now: it has another attestation key, and the request brings nothing in its place. @returns name of the delivery, empty for a V without one; null for nothing. */
export function strandedDelivery({ v }: EnrolmentUpdate, { ak, current }: { ak: string; current: StoredAgent | null }): string | null {
  if (!current || current.enrolment.ak === ak || v !== undefined) return null
  const { state, delivery } = current
  if (delivery?.isKept) return delivery.enrolment
  return vIsDue(state) ? '' : null
}

/** The same for the operator, beside the dangers of policies. */
export const DROPPED_WARNING = {
  policy: 'delivery',
  path: 'delivery',
  message:
    'that waited for the machine is erased: it was for the previous attestation key, and the new one cannot open it (name the payload again with `keylime tenant update`)',
}
