import type { UnknownTpm } from '../../../core/api/unknown-tpm.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { verifyEkCertificate } from '../../../core/identity/ek-certificate.ts'
import { judgeAdmission, marksOfTpm } from '../../../core/identity/expected-tpm.ts'
import type { TpmOfRecord } from '../../../core/identity/tpm-of-record.ts'
import type { RegistrationContext } from './registrar-context.ts'

/**
 * Whether operators let this TPM have this id at once, or it waits for one of them. Asked when a machine asks, before anything is stored, and again when it
 * answers. @param isRegistered it has the id already. @throws KeylimeError `forbidden`
 */
export async function checkAdmission(context: RegistrationContext, tpm: TpmOfRecord, isRegistered: boolean): Promise<'admitted' | 'waits'> {
  const admission = await admissionOf(context, tpm, { isRegistered, unknown: context.rules.unknownTpm })
  if (admission.outcome !== 'refused') return admission.outcome
  const ekHash = tpm.ekHashes[0]!
  context.logger.warn(`agent ${tpm.agentId} may not register: ${admission.reason}`, { ek_hash: ekHash })
  throw new KeylimeError('forbidden', `${admission.reason} (EK hash ${ekHash})`, {
    hint: `an operator can let it in with \`keylime tenant expect --ek-hash ${ekHash}\``,
  })
}

/** @throws KeylimeError `conflict` for a TPM that no operator can approve for this id, because of what operators said before. */
export async function checkApprovable(context: RegistrationContext, tpm: TpmOfRecord): Promise<void> {
  const admission = await admissionOf(context, tpm, { isRegistered: false, unknown: 'accept' })
  if (admission.outcome === 'refused')
    throw new KeylimeError('conflict', `agent ${tpm.agentId} cannot be approved: ${admission.reason}`, {
      hint: '`keylime tenant expect --list` shows who said so, and `--forget` takes it back',
    })
}

async function admissionOf(context: RegistrationContext, tpm: TpmOfRecord, rule: { isRegistered: boolean; unknown: UnknownTpm }) {
  const { store } = context
  const { agentId } = tpm
  const decisions = await store.expected.ofMarks(marksOfTpm(tpm.ekHashes, tpm.ekCertificate()))
  const namesSerial = decisions.some(({ kind, verdict }) => kind === 'serial' && verdict === 'expected')
  const isVouched = namesSerial && vouchedFor(context, tpm) !== null
  // Anybody can write the serial of an expected TPM into a certificate of his own.
  const ofTpm = decisions.filter(({ kind, verdict }) => kind === 'ek_hash' || verdict === 'refused' || isVouched)
  if (ofTpm.length < decisions.length)
    context.logger.warn(`the serial of agent ${agentId}’s EK certificate is expected, but no maker in tpm_cert_store issued it`)
  return judgeAdmission({ agentId, ofTpm, ofId: await store.expected.ofId(agentId), ...rule })
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
