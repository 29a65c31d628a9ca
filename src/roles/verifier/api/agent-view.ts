import { attestationStatus } from '../../../core/attestation/operational-state.ts'
import type { JudgedFailure } from '../../../core/verdict/severity.ts'
import { DEFAULT_SEVERITY, judge } from '../../../core/verdict/severity.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/** Seconds of silence, in intervals, after which a push agent would be late; shown for pull agents too (protocol 4.9). */
const LATE_AFTER_INTERVALS = 5

/** Upstream's status object, and `failures` in full. V is never shown: it would let anyone who may read decrypt (protocol 4.9). */
export function agentView(agent: ManagedAgent, verifierId: string, quoteInterval: number) {
  const { enrolment, state, progress } = agent
  const failures = state.failures.map((f): JudgedFailure => ('severity' in f ? f : judge([f], DEFAULT_SEVERITY).worst))
  const worst = failures.length > 0 ? failures.reduce((a, b) => (b.severity > a.severity ? b : a)) : null
  return {
    operational_state: state.operational,
    v: null,
    ip: enrolment.ip,
    port: enrolment.port,
    tpm_policy: enrolment.tpmPolicy,
    meta_data: enrolment.metaData,
    has_mb_refstate: agent.policy.boot ? 1 : 0,
    has_runtime_policy: agent.policy.ima ? 1 : 0,
    accept_tpm_hash_algs: enrolment.accepted.hash,
    accept_tpm_encryption_algs: enrolment.accepted.encryption,
    accept_tpm_signing_algs: enrolment.accepted.signing,
    hash_alg: state.algorithms?.hash ?? '',
    enc_alg: state.algorithms?.encryption ?? '',
    sign_alg: state.algorithms?.signing ?? '',
    verifier_id: verifierId,
    verifier_ip: enrolment.verifierIp,
    verifier_port: enrolment.verifierPort,
    severity_level: worst?.severity ?? null,
    last_event_id: worst?.eventId ?? null,
    attestation_count: progress.attestationCount,
    last_received_quote: progress.lastReceivedQuote,
    last_successful_attestation: progress.lastSuccessfulAttestation,
    attestation_status: attestationStatus(state.operational),
    attestation_period: `${quoteInterval}s`,
    maximum_attestation_interval: `${LATE_AFTER_INTERVALS * quoteInterval}s`,
    v_released: state.vState === 'delivered',
    failures: failures.map((f) => ({
      event_id: f.eventId,
      severity_label: f.severityLabel,
      recoverable: f.recoverable,
      context: f.context,
    })),
  }
}
