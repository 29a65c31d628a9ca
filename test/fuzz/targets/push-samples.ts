import { IMA_LOG, TPM_QUOTE, UEFI_LOG } from '../../../src/core/api/push/attestation.ts'
import { DELIVERY } from '../../../src/core/api/push/delivery.ts'
import { offerEvidence } from '../../../src/core/attestation/offer-evidence.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineQuote } from '../../machines.ts'

/** A machine that brings its evidence by itself: its quote is a real one. */
const MACHINE = machineQuote('quote-ecc')
export const AK = parsePublicArea(MACHINE.ak)
export const NONCE = MACHINE.nonce
export const QUOTE = MACHINE.text
const [message, signature, pcrs] = QUOTE.slice(1).split(':')

const ALL_PCRS = Array.from({ length: 24 }, (_none, pcr) => pcr)

/** What it can prove. */
export const NEGOTIATION = offerEvidence({
  ak: AK,
  hashAlgorithms: ['sha1', 'sha256'],
  signatureSchemes: ['rsassa', 'ecdsa'],
  banks: new Map([
    ['sha1', ALL_PCRS],
    ['sha256', ALL_PCRS],
  ]),
  ...{ serverIdentifier: 'ak', uefiVersion: '2.1', bootEvents: 3, imaEntries: 5, bootTime: 0, delivers: true },
})

/** What is asked of its quote. */
export const PARAMETERS = {
  signature_scheme: 'ecdsa',
  challenge: NONCE.toString('base64'),
  hash_algorithm: 'sha256',
  selected_subjects: { sha1: null, sha256: [10, 16] },
}

/** How far a delivery came. */
export const REPORT = {
  ...{
    enrolment: '0'.repeat(32),
    generation: 1,
    state: 'unpacked',
    files: 2,
    script: 'failed',
    script_exit: 1,
    script_error: 'e',
    error: null,
  },
  proof: '0'.repeat(96),
}

/** What it brings. */
export const SUBMISSION = {
  data: {
    type: 'attestation',
    attributes: {
      evidence_collected: [
        { ...TPM_QUOTE, data: { subject_data: pcrs!, message: message!, signature: signature! } },
        { ...UEFI_LOG, data: { entries: 'AAAA' } },
        { ...IMA_LOG, data: { entry_count: 1, entries: '10 ab\n', entries_raw: '0 /w==\n' } },
        { ...DELIVERY, data: { transport_key: null, report: REPORT } },
      ],
    },
  },
}
