import type { FullAgentStatus } from '../../../core/api/agent-status.ts'
import { attestationStatus, OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { comesBy, type StoredAgent, type StoredDelivery, type StoredRecord } from '../../../core/attestation/stored-agent.ts'
import { type Failure, irrecoverable } from '../../../core/verdict/failure.ts'
import { DEFAULT_SEVERITY, type JudgedFailure, judge } from '../../../core/verdict/severity.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/** Seconds of silence, in intervals, after which a push agent would be late; shown for pull agents too (protocol 4.9). */
const LATE_AFTER_INTERVALS = 5

export interface ViewSettings {
  /** Who attests it; null where nobody does now. */
  verifierId: string | null
  /** Seconds. */
  quoteInterval: number
}

/**
 * Upstream's status object, and `failures` in full. V is never shown: it would let anyone who may read decrypt (protocol 4.9). A record that
 * cannot be read is a failed agent, with the reason and the way out.
 * @param managed the same agent in memory, if it is attested here: a failure of it that could not be stored counts all the same.
 */
export function agentView(record: StoredRecord, settings: ViewSettings, managed: ManagedAgent | undefined): FullAgentStatus {
  if ('defect' in record) return unreadableView(record.agentId, record.defect, settings)
  const { agent } = record
  const unstored = managed?.unstored ?? null
  const failures = unstored === null ? [] : [irrecoverable('internal', 'verifier.exception', { message: unstored })]
  const state = unstored === null ? agent.state : { ...agent.state, operational: OPERATIONAL_STATE.FAILED, failures }
  return {
    ...storedView({ ...agent, state }, settings),
    // A policy that is stored and empty is none, as upstream has it: only who has parsed it knows.
    ...(managed ? { has_mb_refstate: managed.policy.boot ? 1 : 0, has_runtime_policy: managed.policy.ima ? 1 : 0 } : {}),
  }
}

function storedView({ enrolment, state, progress, delivery }: StoredAgent, { verifierId, quoteInterval }: ViewSettings) {
  return {
    operational_state: state.operational,
    v: null,
    ...(comesBy(enrolment) === 'push' ? { ip: null, port: null } : { ip: enrolment.ip, port: enrolment.port }),
    tpm_policy: enrolment.tpmPolicy,
    meta_data: enrolment.metaData,
    has_mb_refstate: enrolment.mbPolicy === null ? 0 : 1,
    has_runtime_policy: enrolment.runtimePolicy === null ? 0 : 1,
    runtime_policy_name: enrolment.runtimePolicy,
    mb_policy_name: enrolment.mbPolicy,
    accept_tpm_hash_algs: enrolment.accepted.hash,
    accept_tpm_encryption_algs: enrolment.accepted.encryption,
    accept_tpm_signing_algs: enrolment.accepted.signing,
    hash_alg: state.algorithms?.hash ?? '',
    enc_alg: state.algorithms?.encryption ?? '',
    sign_alg: state.algorithms?.signing ?? '',
    verifier_id: verifierId,
    verifier_ip: enrolment.verifierIp,
    verifier_port: enrolment.verifierPort,
    ...failuresView(state.failures),
    attestation_count: progress.attestationCount,
    last_received_quote: progress.lastReceivedQuote,
    last_successful_attestation: progress.lastSuccessfulAttestation,
    attestation_status: statusWord(enrolment, state),
    comes_by: comesBy(enrolment),
    accept_attestations: state.polled,
    attestation_period: `${quoteInterval}s`,
    maximum_attestation_interval: `${LATE_AFTER_INTERVALS * quoteInterval}s`,
    v_released: state.vState === 'delivered',
    v_withheld: state.vState === 'withheld',
    delivery: deliveryView(delivery),
  }
}

const deliveryView = (delivery: StoredDelivery | null | undefined) =>
  delivery
    ? { enrolment: delivery.enrolment, generation: delivery.generation, ordered_at: delivery.orderedAt, report: delivery.report }
    : null

/** A machine that brings its evidence, and has brought none for too long: upstream's word. */
function statusWord(enrolment: StoredAgent['enrolment'], { operational, failures }: StoredAgent['state']): string {
  const isSilent = operational === OPERATIONAL_STATE.FAILED && failures[0]?.eventId.startsWith('internal.verifier.not_reachable')
  return comesBy(enrolment) === 'push' && isSilent ? 'TIMEOUT' : attestationStatus(operational)
}

function unreadableView(agentId: string, defect: string, { verifierId, quoteInterval }: ViewSettings) {
  const message = `${defect}; delete agent ${agentId} and add it again, or restore a backup of the database`
  return {
    operational_state: OPERATIONAL_STATE.FAILED,
    v: null,
    ip: '',
    port: 0,
    tpm_policy: '{}',
    meta_data: '{}',
    has_mb_refstate: 0,
    has_runtime_policy: 0,
    runtime_policy_name: null,
    mb_policy_name: null,
    accept_tpm_hash_algs: [],
    accept_tpm_encryption_algs: [],
    accept_tpm_signing_algs: [],
    hash_alg: '',
    enc_alg: '',
    sign_alg: '',
    verifier_id: verifierId,
    verifier_ip: '',
    verifier_port: 0,
    ...failuresView([irrecoverable('internal', 'verifier.record_unreadable', { message })]),
    attestation_count: 0,
    last_received_quote: 0,
    last_successful_attestation: 0,
    attestation_status: attestationStatus(OPERATIONAL_STATE.FAILED),
    comes_by: null,
    accept_attestations: false,
    attestation_period: `${quoteInterval}s`,
    maximum_attestation_interval: `${LATE_AFTER_INTERVALS * quoteInterval}s`,
    v_released: false,
    v_withheld: false,
    delivery: null,
  }
}

function failuresView(given: readonly (Failure | JudgedFailure)[]) {
  const failures = given.map((f): JudgedFailure => ('severity' in f ? f : judge([f], DEFAULT_SEVERITY).worst))
  const worst = failures.length > 0 ? failures.reduce((a, b) => (b.severity > a.severity ? b : a)) : null
  return {
    severity_level: worst?.severity ?? null,
    last_event_id: worst?.eventId ?? null,
    failures: failures.map((f) => ({
      event_id: f.eventId,
      severity_label: f.severityLabel,
      recoverable: f.recoverable,
      context: f.context,
    })),
  }
}
