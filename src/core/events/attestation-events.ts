import type { AgentEvent } from '../attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../attestation/operational-state.ts'
import type { StoredState } from '../attestation/stored-agent.ts'
import { explainFailure } from '../explanation/explain-failure.ts'
import { budgetMsOf } from '../judging/over-budget.ts'
import type { Failure } from '../verdict/failure.ts'
import { DEFAULT_SEVERITY, type JudgedFailure, judge } from '../verdict/severity.ts'
import type { FailureInEvent, VerifierEvent } from './verifier-event.ts'

const MAX_FAILURES = 10

export interface StateChange {
  agentId: string
  event: AgentEvent
  before: StoredState
  after: StoredState
}

/**
 * What a change of an agent's state tells the outside; nothing in the steady state. A machine that fails again in the same way tells nothing new, nor
 * does one that a restarted verifier takes up again. Commands of an operator are told by who takes them, with the operator's name.
 */
export function attestationEvents({ agentId, event, before, after }: StateChange): VerifierEvent[] {
  const agent_id = agentId
  switch (event.type) {
    case 'quote_passed':
      return [...passed(agentId, before), ...(event.vIsDue ? [released(agentId, before, after)] : [])]
    case 'v_delivered':
      return [{ type: 'v_delivered', agent_id, transport_key_sha256: before.vReleasedTo ?? '' }]
    case 'quote_failed': {
      const same = before.operational === OPERATIONAL_STATE.INVALID_QUOTE && idsOf(before) === idsOf(after)
      return same && (event.judgement.recoverable || !before.polled)
        ? []
        : [failed(agentId, after, event.judgement.recoverable), ...overBudget(agentId, event.judgement.failures)]
    }
    case 'unreachable': {
      const isNew = after.operational === OPERATIONAL_STATE.FAILED && before.operational !== OPERATIONAL_STATE.FAILED
      return isNew ? [{ type: 'agent_unreachable', agent_id, stage: event.stage, reason: event.reason }] : []
    }
    case 'refused':
    case 'version_unsupported':
    case 'exception':
      return [failed(agentId, after, false)]
    case 'delivery_refused': // told by `reportEvents`
      return []
    case 'not_taken_up':
      return [{ type: 'agent_not_taken_up', agent_id, reason: event.reason }]
    case 'stopped':
    case 'reactivated':
      return []
  }
}

/** `algorithms` are known from the first good quote on. */
function passed(agent_id: string, before: StoredState): VerifierEvent[] {
  if (before.algorithms === null) return [{ type: 'agent_attested', agent_id }]
  const [first] = before.failures
  if (!first) return []
  if (first.eventId.startsWith('internal.verifier.not_reachable')) return [{ type: 'agent_back', agent_id }]
  return [{ type: 'agent_recovered', agent_id, after: first.eventId }]
}

const released = (agent_id: string, before: StoredState, after: StoredState): VerifierEvent => ({
  type: 'v_released',
  agent_id,
  transport_key_sha256: after.vReleasedTo ?? '',
  again: before.vState === 'releasing',
})

function failed(agent_id: string, { failures }: StoredState, recoverable: boolean): VerifierEvent {
  const worstFirst = failures.map(judgedOf).sort((a, b) => b.severity - a.severity)
  return {
    type: 'agent_failed',
    agent_id,
    recoverable,
    severity_label: worstFirst[0]?.severityLabel ?? '',
    failures: worstFirst.slice(0, MAX_FAILURES).map(told),
    failure_count: failures.length,
  }
}

/** Why it could not be judged is counted as what it is, besides: others could not be judged meanwhile. */
const overBudget = (agent_id: string, failures: readonly Failure[]): VerifierEvent[] =>
  failures
    .map(budgetMsOf)
    .filter((budget_ms) => budget_ms !== null)
    .map((budget_ms) => ({ type: 'judging_budget_exceeded', agent_id, job: 'judging evidence', budget_ms }))

/** One failure for an event: its id, and in words what was found and what would have been accepted. */
function told({ eventId, severityLabel, recoverable, context }: JudgedFailure): FailureInEvent {
  const { what, found, expected, expectedCount } = explainFailure(eventId, context)
  return {
    event_id: eventId,
    severity_label: severityLabel,
    recoverable,
    message: context.message,
    what,
    found,
    expected: expected.slice(0, 3),
    expected_count: expectedCount,
  }
}

const judgedOf = (failure: Failure | JudgedFailure): JudgedFailure =>
  'severity' in failure ? failure : judge([failure], DEFAULT_SEVERITY).worst

const idsOf = ({ failures }: StoredState) => failures.map(({ eventId }) => eventId).join(' ')
