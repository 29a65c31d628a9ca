import type { UnknownTpm } from '../../../core/api/unknown-tpm.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { AgentRecord } from '../../../core/identity/agent-record.ts'
import { verifyEkCertificate } from '../../../core/identity/ek-certificate.ts'
import { ekHashes, judgeAdmission, marksOfTpm } from '../../../core/identity/expected-tpm.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { RegistrationContext } from './registrar-context.ts'

/**
 * Whether operators let this TPM have this id at once, or it waits for one of them. Asked when a machine asks, before anything is stored, and again when it
 * answers. @param isRegistered it has the id already. @throws KeylimeError `forbidden`
 */
export async function checkAdmission(
  context: RegistrationContext,
  record: AgentRecord,
  isRegistered: boolean,
): Promise<'admitted' | 'waits'> {
  const admission = await admissionOf(context, record, { isRegistered, unknown: context.rules.unknownTpm })
  if (admission.outcome !== 'refused') return admission.outcome
  const ekHash = ekHashes(record.ek)[0]!
  context.logger.warn(`agent ${record.agentId} may not register: ${admission.reason}`, { ek_hash: ekHash })
  throw new KeylimeError('forbidden', `${admission.reason} (EK hash ${ekHash})`, {
    hint: `an operator can let it in with \`keylime tenant expect --ek-hash ${ekHash}\``,
  })
}

/** @throws KeylimeError `conflict` for a TPM that no operator can approve for this id, because of what operators said before. */
export async function checkApprovable(context: RegistrationContext, record: AgentRecord): Promise<void> {
  const admission = await admissionOf(context, record, { isRegistered: false, unknown: 'accept' })
  if (admission.outcome === 'refused')
    throw new KeylimeError('conflict', `agent ${record.agentId} cannot be approved: ${admission.reason}`, {
      hint: '`keylime tenant expect --list` shows who said so, and `--forget` takes it back',
    })
}

async function admissionOf(context: RegistrationContext, record: AgentRecord, rule: { isRegistered: boolean; unknown: UnknownTpm }) {
  const { store } = context
  const { agentId, ek, ekCertificate } = record
  const decisions = await store.expected.ofMarks(marksOfTpm(ek, ekCertificate && parseCertificate(ekCertificate)))
  const namesSerial = decisions.some(({ kind, verdict }) => kind === 'serial' && verdict === 'expected')
  const isVouched = namesSerial && vouchedFor(context, record) !== null
  // Anybody can write the serial of an expected TPM into a certificate of his own.
  const ofTpm = decisions.filter(({ kind, verdict }) => kind === 'ek_hash' || verdict === 'refused' || isVouched)
  if (ofTpm.length < decisions.length)
    context.logger.warn(`the serial of agent ${agentId}’s EK certificate is expected, but no maker in tpm_cert_store issued it`)
  return judgeAdmission({ agentId, ofTpm, ofId: await store.expected.ofId(agentId), ...rule })
}

/** The maker that vouches for the TPM of a record, by a certificate for its EK; null for none. */
export function vouchedFor({ makerCertificates, clock }: RegistrationContext, { ek, ekCertificate }: AgentRecord): string | null {
  const verdict = verifyEkCertificate({
    ekCertificate: ekCertificate && parseCertificate(ekCertificate),
    ek: parsePublicArea(ek),
    store: makerCertificates(),
    now: clock.now(),
    expiry: 'accept',
  })
  return verdict.ok ? verdict.verified.maker : null
}
