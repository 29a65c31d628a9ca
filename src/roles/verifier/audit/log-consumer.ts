import type { EventConsumer } from '../../../core/events/event-stream.ts'
import { eventText } from '../../../core/events/event-text.ts'
import type { EventOf, FailureInEvent, VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Logger } from '../../../io/log/logger.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

const LEVELS: Record<VerifierEvent['type'], Level> = {
  verifier_started: 'info',
  verifier_stopped: 'info',
  database_migrated: 'info',
  database_put_back: 'error',
  database_restored: 'error',
  agent_enrolled: 'info',
  agent_updated: 'info',
  agent_deleted: 'info',
  agent_revoked: 'warn',
  agent_stopped: 'info',
  agent_reactivated: 'info',
  attestation_asked: 'info',
  agent_not_taken_up: 'error',
  agent_attested: 'info',
  agent_recovered: 'info',
  agent_failed: 'error',
  agent_unreachable: 'warn',
  agents_unreachable: 'error',
  agent_back: 'info',
  agent_address_followed: 'warn',
  v_released: 'info',
  v_withheld: 'warn',
  v_delivered: 'info',
  delivery_ordered: 'info',
  delivery_dropped: 'warn',
  delivery_refused: 'error',
  delivery_ended: 'info',
  revocation_announced: 'warn',
  revocation_told: 'debug',
  revocation_acted: 'debug',
  revocation_failed: 'warn',
  revocation_refused: 'warn',
  revocation_given_up: 'error',
  policy_created: 'info',
  policy_changed: 'info',
  policy_deleted: 'info',
  attestations_late: 'warn',
  attestations_in_time: 'info',
  request_refused: 'info',
  judging_budget_exceeded: 'warn',
}

/** Says each event in words; a failed attestation with a line for each failure: what failed, what was found, what would have been accepted. */
export function logConsumer(logger: Logger): EventConsumer {
  return ({ event }) => {
    if (event.type === 'agent_failed' && event.failures.length > 0) return logFailures(logger, event)
    logger[levelOf(event)](eventText(event), { ...fieldsOf(event), facts: factsOfEvent(event) })
  }
}

/** Receivers that are no agents are few, and the operator has set each of them up. */
const levelOf = (event: VerifierEvent): Level =>
  event.type === 'revocation_told' && !event.target.startsWith('agent:') ? 'info' : LEVELS[event.type]

function logFailures(logger: Logger, event: EventOf<'agent_failed'>): void {
  for (const failure of event.failures)
    logger.error(`agent ${event.agent_id} failed attestation: ${failure.event_id}: ${failure.message}`, {
      ...factsOf(failure),
      facts: { ...factsOfEvent(event), failure_ids: [failure.event_id], recoverable: failure.recoverable },
    })
  const more = event.failure_count - event.failures.length
  if (more > 0) logger.error(`agent ${event.agent_id} failed attestation: ${more} more failures`, { facts: factsOfEvent(event) })
}

function factsOf({ severity_label, what, found, expected, expected_count }: FailureInEvent): Record<string, unknown> {
  const more = expected_count > expected.length ? ` and ${expected_count - expected.length} more` : ''
  return {
    severity: severity_label,
    what,
    ...(found === null ? {} : { found }),
    ...(expected.length > 0 ? { expected: `${expected.join(', ')}${more}` } : {}),
  }
}

/** For a line of JSON: `event`, `agent`, `failure_ids`, and every member of the event by its name in the audit log. */
function factsOfEvent(event: VerifierEvent): Record<string, unknown> {
  const { type, ...members } = event
  const {
    agent_id: agent,
    failures,
    ...rest
  } = members as Record<string, unknown> & { agent_id?: string | null; failures?: readonly FailureInEvent[] }
  return {
    event: type,
    ...(agent === undefined ? {} : { agent }),
    ...(failures === undefined ? {} : { failure_ids: failures.map(({ event_id }) => event_id) }),
    ...rest,
  }
}

/** Facts that the sentence leaves out. */
function fieldsOf(event: VerifierEvent): Record<string, unknown> {
  switch (event.type) {
    case 'verifier_started':
      return { agents: event.agents, version: event.version }
    case 'agent_enrolled':
    case 'agent_updated':
      return { runtimePolicy: event.runtime_policy?.name ?? null, mbPolicy: event.mb_policy?.name ?? null }
    case 'policy_created':
    case 'policy_changed':
    case 'policy_deleted':
      return { sha256: event.sha256 }
    case 'revocation_announced':
    case 'revocation_told':
    case 'revocation_acted':
    case 'revocation_failed':
    case 'revocation_refused':
    case 'revocation_given_up':
      return { revocation: event.revocation }
    default:
      return {}
  }
}
