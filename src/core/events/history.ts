import type { StateWord } from '../attestation/state-word.ts'
import type { VerifierEvent } from './verifier-event.ts'

/** How a machine stood after an entry of its history: in our words, or no longer enrolled. */
export type HistoryState = StateWord | 'deleted' | 'revoked'

/** Of a failed attestation: the history says what it was, the explanation of the last one says all. */
const MAX_FAILURES = 3

const STATES = {
  agent_enrolled: 'waiting',
  agent_updated: 'waiting',
  agent_deleted: 'deleted',
  agent_revoked: 'revoked',
  agent_stopped: 'stopped',
  agent_reactivated: 'waiting',
  agent_not_taken_up: 'failed',
  agent_attested: 'attested',
  agent_recovered: 'attested',
  agent_failed: 'failed',
  agent_unreachable: 'unreachable',
  agent_back: 'attested',
  agent_address_followed: 'attested',
  v_released: 'attested',
  v_delivered: 'attested',
  delivery_ordered: 'waiting',
  delivery_dropped: 'waiting',
  delivery_refused: 'attested',
  delivery_ended: 'attested',
} as const satisfies Partial<Record<VerifierEvent['type'], HistoryState>>

/** What the history of machines keeps: verdicts, releases of V, and what operators did. */
export type HistoryEvent = Extract<VerifierEvent, { type: keyof typeof STATES }>

/** Whether an event is part of a machine's history. */
export const isHistory = (event: VerifierEvent): event is HistoryEvent => Object.hasOwn(STATES, event.type)

/** The state in which an event leaves its machine. */
export const stateAfter = ({ type }: HistoryEvent): HistoryState => STATES[type]

/** The form in which it is kept. */
export const keptEvent = (event: HistoryEvent): HistoryEvent =>
  event.type === 'agent_failed' ? { ...event, failures: event.failures.slice(0, MAX_FAILURES) } : event
