import { agentVersion, integrityQuote, revocationNotification, userKeyRequest, verifierKeyRequest } from '../../../src/core/api/agent.ts'
import { agentInfo, keyProof } from '../../../src/core/api/agent-info.ts'
import { authorityIntroduction } from '../../../src/core/api/authority-introduction.ts'
import { identityQuote } from '../../../src/core/api/identity-quote.ts'
import { noticeOutcome, notifierIntroduction } from '../../../src/core/api/notice.ts'
import { messagesTarget } from './api-messages.ts'

const QUOTE = { quote: 'rAA==:AA==:AA==', hash_alg: 'sha256', enc_alg: 'rsa', sign_alg: 'rsassa', pubkey: 'PEM' }
const PROGRESS = { state: 'unpacked', files: 3, script: 'done', error: null }

/** What the agent answers and takes (protocol 5.1). */
export const agentApi = messagesTarget([
  {
    schema: integrityQuote,
    sample: { ...QUOTE, ima_measurement_list: '10 ab', ima_measurement_list_entry: 0, mb_measurement_list: null, boottime: 1 },
  },
  { schema: identityQuote, sample: QUOTE },
  { schema: agentVersion, sample: { supported_version: '2.5', supported_versions: ['2.1', '2.5'] } },
  { schema: userKeyRequest, sample: { encrypted_key: 'AA==', auth_tag: '00', payload: null } },
  { schema: verifierKeyRequest, sample: { encrypted_key: 'AA==' } },
  { schema: revocationNotification, sample: { msg: '{}', signature: 'AA==' } },
  {
    schema: agentInfo,
    sample: { agent_uuid: 'a', tpm_hash_alg: 'sha256', tpm_enc_alg: 'rsa', tpm_sign_alg: 'rsassa', ak_handle: 1, payload: PROGRESS },
  },
  { schema: keyProof, sample: { hmac: '00' } },
  { schema: notifierIntroduction, sample: { certificate: 'PEM' } },
  { schema: authorityIntroduction, sample: { authorities: 'PEM', bridge: null } },
  { schema: noticeOutcome, sample: { outcome: 'failed', reason: 'r' } },
])
