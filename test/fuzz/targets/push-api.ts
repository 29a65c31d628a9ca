import {
  acceptedEvidence,
  capabilitiesOf,
  dataOf,
  negotiation,
  openedAttestation,
  parametersOf,
  submission,
} from '../../../src/core/api/push/attestation.ts'
import {
  DELIVERY,
  deliveryCapabilities,
  deliveryEvidence,
  deliveryParameters,
  deliveryStatus,
  mailbox,
  mailboxAnswer,
  releaseAnswer,
} from '../../../src/core/api/push/delivery.ts'
import { openedSession, provedSession, sessionProof, sessionRequest, TPM_POP } from '../../../src/core/api/push/session.ts'
import { waitAnswer, waitRequest } from '../../../src/core/api/push/wait.ts'
import { messagesTarget } from './api-messages.ts'
import { NEGOTIATION, PARAMETERS, REPORT, SUBMISSION } from './push-samples.ts'

const HEX_32 = '0'.repeat(32)
const HEX_64 = '0'.repeat(64)
const MAILBOX = { order: '{}', signature: 'AA==', certificate: 'PEM', share: 'AA==', payload: null }
const [quote, boot, ima] = NEGOTIATION.data.attributes.evidence_supported
const [quoteData, bootData, imaData] = SUBMISSION.data.attributes.evidence_collected
const requested = [{ ...DELIVERY, chosen_parameters: { enrolment: HEX_32, generation: 1 } }]

/** What a machine that brings its evidence, and its verifier, take from each other (protocol 8). */
export const pushApi = messagesTarget([
  { schema: negotiation, sample: { data: { ...NEGOTIATION.data, attributes: { ...NEGOTIATION.data.attributes, early: true } } } },
  { schema: capabilitiesOf.tpm_quote, sample: quote!.capabilities },
  { schema: capabilitiesOf.uefi_log, sample: boot!.capabilities },
  { schema: capabilitiesOf.ima_log, sample: ima!.capabilities },
  { schema: parametersOf.tpm_quote, sample: PARAMETERS },
  { schema: parametersOf.ima_log, sample: { starting_offset: 1, entry_count: 2, format: 'text/plain' } },
  { schema: openedAttestation, sample: { data: { attributes: { evidence_requested: requested } } } },
  { schema: submission, sample: SUBMISSION },
  { schema: dataOf.tpm_quote, sample: quoteData!.data },
  { schema: dataOf.uefi_log, sample: bootData!.data },
  { schema: dataOf.ima_log, sample: imaData!.data },
  { schema: acceptedEvidence, sample: { meta: { seconds_to_next_attestation: 60 } } },
  { schema: sessionRequest, sample: { data: { type: 'session', attributes: { agent_id: 'a', authentication_supported: [TPM_POP] } } } },
  {
    schema: openedSession,
    sample: { data: { id: 'i', attributes: { authentication_requested: [{ ...TPM_POP, chosen_parameters: { challenge: 'AAAA' } }] } } },
  },
  {
    schema: sessionProof,
    sample: {
      data: {
        type: 'session',
        attributes: { agent_id: 'a', authentication_provided: [{ ...TPM_POP, data: { message: 'AA==', signature: 'AA==' } }] },
      },
    },
  },
  {
    schema: provedSession,
    sample: { data: { attributes: { evaluation: 'pass', token: 't', token_expires_at: 'z', extensions: { delivery: 1, wait: 60 } } } },
  },
  { schema: deliveryCapabilities, sample: { version: 1 } },
  { schema: deliveryParameters, sample: { enrolment: HEX_32, generation: 1 } },
  { schema: deliveryEvidence, sample: { transport_key: 'PEM', report: REPORT } },
  { schema: mailbox, sample: MAILBOX },
  { schema: mailboxAnswer, sample: { data: { type: 'delivery', attributes: MAILBOX } } },
  {
    schema: releaseAnswer,
    sample: { data: { type: 'release', attributes: { evaluation: 'pass', enrolment: HEX_32, encrypted_key: null } } },
  },
  { schema: deliveryStatus, sample: { enrolment: HEX_32, generation: 1, ordered_at: 1, report: REPORT } },
  {
    schema: waitRequest,
    sample: { seconds: 60, acknowledged: [{ digest: HEX_64, outcome: 'failed', reason: 'r' }], notifier: HEX_64 },
  },
  {
    schema: waitAnswer,
    sample: { data: { type: 'news', attributes: { attest: 'a', notices: [{ msg: '{}', signature: 'AA==' }], notifier: 'PEM' } } },
  },
])
