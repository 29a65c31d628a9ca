import { agentStatus, agentStatuses } from '../../../src/core/api/agent-status.ts'
import { explanation } from '../../../src/core/api/explanation.ts'
import { historyPage } from '../../../src/core/api/history.ts'
import { revocationReport } from '../../../src/core/api/revocation-report.ts'
import { revokedAtVerifier } from '../../../src/core/api/revoked.ts'
import { policyNames, storedPolicy } from '../../../src/core/api/stored-policies.ts'
import { enrolmentRequest, enrolmentUpdate, evidenceRequest, warningsIn } from '../../../src/core/api/verifier.ts'
import { demand, type Target } from '../target.ts'
import { messagesTarget } from './api-messages.ts'

const ENROLMENT = {
  v: 'AA==',
  cloudagent_ip: '127.0.0.1',
  cloudagent_port: '9002',
  tpm_policy: '{}',
  runtime_policy: '',
  runtime_policy_name: null,
  mb_policy: null,
  mb_policy_name: '',
  ima_sign_verification_keys: '',
  metadata: '{}',
  revocation_key: '',
  accept_tpm_hash_algs: ['sha256'],
  accept_tpm_encryption_algs: ['rsa'],
  accept_tpm_signing_algs: ['rsassa'],
  ak_tpm: 'AAEC',
  mtls_cert: 'PEM',
  supported_version: '2.5',
}
const FAILURE = { event_id: 'ima.x', severity_label: 'info', recoverable: true, context: { message: 'm' } }
const STATUS = {
  operational_state: 3,
  v: null,
  ip: '127.0.0.1',
  port: 9002,
  tpm_policy: '{}',
  meta_data: {},
  accept_tpm_hash_algs: ['sha1'],
  failures: [FAILURE],
}
const EXPLAINED = {
  ...{ event_id: 'ima.x', severity_label: 'info', recoverable: false, message: 'm', what: 'w', path: null, algorithm: null, found: null },
  ...{ expected: ['a'], expected_count: 1, signed_by: null, accept: null, meaning: null, no_change: null, look_at: 'l' },
}
const EXPLANATION = {
  ...{
    agent_id: 'a',
    failed_at: 't',
    last_good: null,
    good_attestations: 1,
    attested_since: false,
    failures: [EXPLAINED],
    further_failures: 0,
  },
  judged_by: {
    tpm_policy: '{}',
    pcrs: [10],
    hash_alg: 'sha256',
    runtime_policy: { name: 'n', sha256: 's' },
    mb_policy: null,
    measured_boot_policy_name: 'example',
  },
  ...{ change: { runtime_policy: {} }, without_change: 0, evidence: { kept: true, compressed_bytes: 1, cut: [] } },
}
const EVIDENCE = {
  quote: 'r',
  nonce: 'n',
  hash_alg: 'sha256',
  tpm_ak: 'AA',
  tpm_ek: 'AA',
  tpm_policy: {},
  ima_measurement_list: null,
  mb_log: '',
}
const REVOCATION = {
  id: 1,
  agent_id: 'a',
  type: 'revocation',
  time: 't',
  told: [{ target: 'u', time: 't' }],
  pending: [{ target: 'u', attempts: 1, last_error: null }],
  given_up: [],
}

const messages = messagesTarget([
  { schema: enrolmentRequest, sample: ENROLMENT },
  { schema: enrolmentRequest, sample: { ...ENROLMENT, mb_refstate: 'null', mb_policy: undefined }, changesForm: true },
  { schema: enrolmentUpdate, sample: { runtime_policy: '{}' } },
  { schema: evidenceRequest, sample: { type: 'tpm', data: EVIDENCE } },
  { schema: agentStatus, sample: STATUS },
  { schema: agentStatuses, sample: { a: STATUS } },
  { schema: explanation, sample: EXPLANATION },
  { schema: revocationReport, sample: { revocations: [REVOCATION] } },
  { schema: policyNames.runtime, sample: { 'runtimepolicy names': ['a'] } },
  { schema: policyNames.mb, sample: { 'mbpolicy names': ['a'] } },
  { schema: storedPolicy.runtime, sample: { name: 'n', runtime_policy: '{}' } },
  { schema: storedPolicy.mb, sample: { name: 'n', mb_policy: '{}' } },
  { schema: historyPage, sample: { entries: [{ id: 1, time: 't', agent_id: 'a', state: 's', event: { type: 'x' } }], next: null } },
  { schema: revokedAtVerifier, sample: { revocation: 1, receivers: 2 } },
])

/** What the verifier takes and answers (protocol 3 and 4); warnings of an answer are sentences or none. */
export const verifierApi: Target = {
  ...messages,
  seeds: () => [...messages.seeds(), Buffer.from('\0{"warnings":[{"policy":"p","path":"q","message":"m"}]}')],
  run(input) {
    demand(
      warningsIn(unchecked(input)).every((warning) => typeof warning === 'string'),
      'a warning is no text',
    )
    return messages.run(input)
  },
}

function unchecked(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString('utf8', 1))
  } catch {
    return input.toString('utf8')
  }
}
