import type { DeliveryReport } from '../api/push/delivery.ts'
import { vIsDue } from './release.ts'
import type { StoredDelivery, StoredState } from './stored-agent.ts'

/** After these the machine has K: it does not need the mailbox again. */
const HAS_KEY: ReadonlySet<DeliveryReport['state']> = new Set(['unpacked', 'key_only', 'not_allowed', 'failed'])

/** The machine says that it has K, and shows a proof of it. Whether the proof holds is for the operator to say: the verifier knows no K. */
export const provesKey = ({ state, proof }: DeliveryReport): boolean => proof !== null && HAS_KEY.has(state)

/** The word of a machine that is asked, and does not take what was sealed for it. */
export const refusal = ({ enrolment, generation }: StoredDelivery, error: string): DeliveryReport => ({
  ...{ enrolment, generation, state: 'refused', files: 0, script: 'none', script_exit: null, script_error: null, error, proof: null },
})

/** Nothing more is to be heard of it. */
export const isFinal = ({ state, script }: DeliveryReport): boolean =>
  state === 'refused' || (HAS_KEY.has(state) && !(state === 'unpacked' && script === 'running'))

/** The machine shall be asked for it: V is due, or the last that it said is not the end. */
export function isUnfinished(state: StoredState, delivery: StoredDelivery | null | undefined): delivery is StoredDelivery {
  if (!delivery) return false
  return vIsDue(state) || (state.vState === 'delivered' && (delivery.report === null || !isFinal(delivery.report)))
}

/**
 * What the last word of a machine makes of a delivery. A proof that it has shown stays: after a restart it has none any more. @returns the same object where nothing is new, also for a word
 * of another delivery.
 */
export function heard(delivery: StoredDelivery, said: DeliveryReport): StoredDelivery {
  const { enrolment, generation, report: before } = delivery
  if (said.enrolment !== enrolment || said.generation !== generation) return delivery
  const report = { ...said, proof: said.proof ?? before?.proof ?? null }
  return JSON.stringify(report) === JSON.stringify(before) ? delivery : { ...delivery, report }
}
