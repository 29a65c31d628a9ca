import type { UnknownTpm } from '../../../core/api/unknown-tpm.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { verifyEkCertificate } from '../../../core/identity/ek-certificate.ts'
import { judgeAdmission } from '../../../core/identity/expected-tpm.ts'
import type { TpmOfRecord } from '../../../core/identity/tpm-of-record.ts'
import type { KnownOfTpm } from '../../../io/db/look-up-tpm.ts'
import type { RegistrationContext } from './registrar-context.ts'

/** A TPM that asks for an id, and what is known of both. */
export interface Applicant {
  readonly tpm: TpmOfRecord
  readonly known: KnownOfTpm
  /** It has the id already. */
  readonly isRegistered: boolean
}

/**
 * Whether operators let this TPM have this id at once, or it waits for one of them. Asked when a machine asks, before anything is stored, and again when it
 * answers. @throws KeylimeError `forbidden`
 */
export function checkAdmission(context: RegistrationContext, applicant: Applicant): 'admitted' | 'waits' {
  const admission = admissionOf(context, applicant, context.rules.unknownTpm)
  if (admission.outcome !== 'refused') return admission.outcome
  const { agentId, ekHashes } = applicant.tpm
  const ekHash = ekHashes[0]!
  context.logger.warn(`agent ${agentId} may not register: ${admission.reason}`, { ek_hash: ekHash })
  throw new KeylimeError('forbidden', `${admission.reason} (EK hash ${ekHash})`, {
    hint: `an operator can let it in with \`keylime tenant expect --ek-hash ${ekHash}\``,
  })
}

/** @throws KeylimeError `conflict` for a TPM that no operator can approve for this id, because of what operators said before. */
export function checkApprovable(context: RegistrationContext, applicant: Omit<Applicant, 'isRegistered'>): void {
  const admission = admissionOf(context, { ...applicant, isRegistered: false }, 'accept')
  if (admission.outcome === 'refused')
    throw new KeylimeError('conflict', `agent ${applicant.tpm.agentId} cannot be approved: ${admission.reason}`, {
      hint: '`keylime tenant expect --list` shows who said so, and `--forget` takes it back',
    })
}

function admissionOf(context: RegistrationContext, { tpm, known, isRegistered }: Applicant, unknown: UnknownTpm) {
  const { agentId } = tpm
  const namesSerial = known.ofTpm.some(({ kind, verdict }) => kind === 'serial' && verdict === 'expected')
  const isVouched = namesSerial && vouchedFor(context, tpm) !== null
  // Anybody can write the serial of an expected TPM into a certificate of his own.
  const ofTpm = known.ofTpm.filter(({ kind, verdict }) => kind === 'ek_hash' || verdict === 'refused' || isVouched)
  if (ofTpm.length < known.ofTpm.length)
    context.logger.warn(`the serial of agent ${agentId}’s EK certificate is expected, but no maker in tpm_cert_store issued it`)
  return judgeAdmission({ agentId, ofTpm, isIdExpected: known.isIdExpected, isRegistered, unknown })
}

/** The maker that vouches for a TPM, by a certificate for its EK; null for none. */
export function vouchedFor({ makerCertificates, clock }: RegistrationContext, tpm: TpmOfRecord): string | null {
  const verdict = verifyEkCertificate({
    ekCertificate: tpm.ekCertificate(),
    ek: tpm.ek,
    store: makerCertificates(),
    now: clock.now(),
    expiry: 'accept',
  })
  return verdict.ok ? verdict.verified.maker : null
}
