import type { EventOf, VerifierEvent } from '../src/core/events/verifier-event.ts'

export const OPERATOR = { common_name: 'admin', sha256: 'ab'.repeat(32), address: '192.0.2.1' }

type Everything = { [T in VerifierEvent['type']]: EventOf<T> }

/** One event of each type: a type that is missing here does not compile. @param text stands wherever a text from outside may stand. */
export function oneOfEach(text = 'x'): VerifierEvent[] {
  const agent_id = text
  const operator = { common_name: text, sha256: OPERATOR.sha256, address: text }
  const policy = { kind: 'runtime', name: text, operator } as const
  const enrolment = {
    agent_id,
    address: text,
    operator,
    runtime_policy: { name: text, sha256: 'cd' },
    mb_policy: null,
    tpm_policy_sha256: 'ef',
    has_v: true,
    warnings: 1,
  }
  const delivery = { agent_id, revocation: 7, target: text }
  const ordered = { agent_id, enrolment: text, generation: 8 }
  const failure = {
    event_id: text,
    severity_label: text,
    recoverable: true,
    message: text,
    what: text,
    found: text,
    expected: [text],
    expected_count: 9,
  }
  const peer = { kind: 'certificate', common_name: text, sha256: text, address: text } as const
  const all: Everything = {
    verifier_started: { type: 'verifier_started', version: text, verifier_id: text, address: text, agents: 3 },
    verifier_stopped: { type: 'verifier_stopped' },
    database_migrated: { type: 'database_migrated', from_version: 1, to_version: 2 },
    database_put_back: { type: 'database_put_back', found: 'older', missing: 3, last_change: text, expected_change: text, withheld: 1 },
    database_restored: { type: 'database_restored', verifier_id: text, taken_at: text, restored_at: text, agents: 3, withheld: 1 },
    agent_enrolled: { type: 'agent_enrolled', ...enrolment },
    agent_updated: { type: 'agent_updated', ...enrolment },
    agent_deleted: { type: 'agent_deleted', agent_id, operator, operational_state: 3, v_state: 'delivered' },
    agent_revoked: { type: 'agent_revoked', agent_id, operator, operational_state: 3, v_state: 'none' },
    agent_stopped: { type: 'agent_stopped', agent_id, operator },
    agent_reactivated: { type: 'agent_reactivated', agent_id, operator },
    attestation_asked: { type: 'attestation_asked', agent_id, operator },
    agent_not_taken_up: { type: 'agent_not_taken_up', agent_id, reason: text },
    agent_attested: { type: 'agent_attested', agent_id },
    agent_recovered: { type: 'agent_recovered', agent_id, after: text },
    agent_failed: { type: 'agent_failed', agent_id, recoverable: false, severity_label: text, failures: [failure], failure_count: 2 },
    agent_unreachable: { type: 'agent_unreachable', agent_id, stage: 'v', reason: text },
    agent_back: { type: 'agent_back', agent_id },
    agent_address_followed: { type: 'agent_address_followed', agent_id, from: '10.0.0.7:9002', to: '10.0.0.8:9002' },
    v_released: { type: 'v_released', agent_id, transport_key_sha256: 'aa', again: true },
    v_withheld: { type: 'v_withheld', agent_id },
    v_delivered: { type: 'v_delivered', agent_id, transport_key_sha256: 'aa' },
    delivery_ordered: { type: 'delivery_ordered', ...ordered, operator, order_sha256: 'aa', signer: text, payload_bytes: 12 },
    delivery_dropped: { type: 'delivery_dropped', agent_id, enrolment: text },
    delivery_refused: { type: 'delivery_refused', ...ordered, reason: text },
    delivery_ended: { type: 'delivery_ended', ...ordered, state: 'unpacked', files: 2, script: 'done', reason: text },
    revocation_announced: { type: 'revocation_announced', agent_id, revocation: 7, kind: 'revocation', targets: 2 },
    revocation_told: { type: 'revocation_told', ...delivery },
    revocation_acted: { type: 'revocation_acted', ...delivery },
    revocation_failed: { type: 'revocation_failed', ...delivery, reason: text },
    revocation_refused: { type: 'revocation_refused', ...delivery, reason: text },
    revocation_given_up: { type: 'revocation_given_up', ...delivery, reason: text },
    policy_created: { type: 'policy_created', ...policy, sha256: 'aa', warnings: 0 },
    policy_changed: { type: 'policy_changed', ...policy, sha256: 'aa', previous_sha256: 'bb', agents: 2, warnings: 0 },
    policy_deleted: { type: 'policy_deleted', ...policy, sha256: 'aa' },
    request_refused: { type: 'request_refused', method: 'DELETE', route: '/v:version/agents/:id', why: text, peer },
    agents_unreachable: { type: 'agents_unreachable', machines: 7, agent_ids: [text] },
    attestations_late: { type: 'attestations_late', late_seconds: 4.2, waiting: 100 },
    attestations_in_time: { type: 'attestations_in_time', longest_seconds: 31 },
    judging_budget_exceeded: { type: 'judging_budget_exceeded', agent_id: null, job: text, budget_ms: 500 },
  }
  return Object.values(all)
}

/** Control characters, line feeds, a turned direction, an escape code, half a surrogate pair, and what looks like the end of a line of the log. */
export const HOSTILE = '\n{"seq":1}\r\u0000\u001b[31m\u2028\u202e\u0085\ud800"}\\'
