import { basicConstraintsOf, certificatePoliciesOf, extendedKeyUsageOf, hasKeyUsage, KEY_USAGE } from '../pki/extensions.ts'
import type { Certificate } from '../pki/types.ts'

/** TCG EK Credential Profile, section 3.1.3.6, and "TPM 2.0 Keys for Device Identity and Attestation", section 8. */
const EK_CERTIFICATE = '2.23.133.8.1'
const AK_CERTIFICATE = '2.23.133.8.3'
const ANY_USE = '2.5.29.37.0'
/** What a maker vouches for: a key that is in a TPM, stays in it, and signs only what the TPM made. */
const VERIFIED_TPM = '2.23.133.11.1.'
const VERIFIED_RESTRICTED = `${VERIFIED_TPM}3`

/**
 * Makers' authorities issue certificates for many things; what a certificate says of its use must not contradict the use that is made of it here. One that
 * says nothing may be used, as older ones say nothing. @returns what contradicts; undefined when nothing does.
 * @throws KeylimeError `malformed` for an extension that cannot be read.
 */
export function certificateUseDefect(certificate: Certificate, use: 'ek' | 'iak' | 'idevid'): string | undefined {
  if (basicConstraintsOf(certificate)?.ca) return 'it is the certificate of an authority'
  return use === 'ek' ? ekDefect(certificate) : signerDefect(certificate, use)
}

function ekDefect(certificate: Certificate): string | undefined {
  const { keyEncipherment, dataEncipherment, keyAgreement } = KEY_USAGE
  const uses = [keyEncipherment, dataEncipherment, keyAgreement].map((bit) => hasKeyUsage(certificate, bit))
  if (uses[0] !== undefined && !uses.includes(true)) return 'its key usage allows no encryption, which is all that an EK does'
  const extended = extendedKeyUsageOf(certificate)
  if (!extended || extended.includes(EK_CERTIFICATE) || extended.includes(ANY_USE)) return undefined
  return `its extended key usage is ${extended.join(', ')}, not that of an EK certificate (${EK_CERTIFICATE})`
}

function signerDefect(certificate: Certificate, use: 'iak' | 'idevid'): string | undefined {
  if (hasKeyUsage(certificate, KEY_USAGE.digitalSignature) === false) return 'its key usage allows no signatures'
  const extended = extendedKeyUsageOf(certificate) ?? []
  if (extended.includes(EK_CERTIFICATE)) return 'its extended key usage is that of an EK certificate'
  const vouched = certificatePoliciesOf(certificate).filter((policy) => policy.startsWith(VERIFIED_TPM))
  const isRestricted = vouched.includes(VERIFIED_RESTRICTED) || extended.includes(AK_CERTIFICATE)
  if (use === 'iak' && vouched.length > 0 && !vouched.includes(VERIFIED_RESTRICTED))
    return `its maker vouches for ${vouched.join(', ')} and not for a restricted key (${VERIFIED_RESTRICTED}), which an IAK is`
  if (use === 'idevid' && isRestricted) return 'its maker vouches for an attestation key, which an IDevID is not'
  return undefined
}
