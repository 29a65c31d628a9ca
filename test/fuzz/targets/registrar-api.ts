import { agentIds } from '../../../src/core/api/agent-ids.ts'
import { activationRequest, registeredAgent, registrationChallenge, registrationRequest } from '../../../src/core/api/registrar.ts'
import { revocationMarks, revokedAtRegistrar } from '../../../src/core/api/revoked.ts'
import { serverVersion } from '../../../src/core/api/server-version.ts'
import { messagesTarget } from './api-messages.ts'

const KEYS = { aik_tpm: 'AAEC', ek_tpm: '0x0001', ekcert: 'MIIB', ip: '127.0.0.1', port: '9002', mtls_cert: 'PEM' }
const DEVICE = { iak_tpm: '00ff', iak_cert: '', idevid_tpm: null, idevid_cert: '', iak_attest: 'AAEC', iak_sign: 'AAEC' }

/** What the registrar takes and answers (protocol 2.6 to 2.11). */
export const registrarApi = messagesTarget([
  { schema: registrationRequest, sample: { ...KEYS, ...DEVICE }, changesForm: true },
  { schema: activationRequest, sample: { auth_tag: 'ab'.repeat(48) } },
  { schema: registeredAgent, sample: { agent_id: 'a', ...KEYS, regcount: 1 } },
  { schema: registrationChallenge, sample: { blob: 'AA==' } },
  { schema: agentIds, sample: { uuids: ['a', ['b'], []] }, changesForm: true },
  { schema: revokedAtRegistrar, sample: { tpm_known: true, other_ids: ['a'] } },
  { schema: revocationMarks, sample: { revoked: [{ agent_id: 'a', revoked_at: 't' }] } },
  { schema: serverVersion, sample: { current_version: '2.6', supported_versions: ['2.0', '2.6'] } },
])
