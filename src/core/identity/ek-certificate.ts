import { isKeylimeError } from '../errors.ts'
import { expiredOf, verifyChain } from '../pki/chain.ts'
import { sameKey } from '../pki/keys.ts'
import type { Certificate } from '../pki/types.ts'
import { ekDefects } from '../tpm/key-defects.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { certificateUseDefect } from './certificate-use.ts'
import { tpmMaker } from './tpm-maker.ts'

declare const verified: unique symbol

/** An EK certificate that a maker whom we trust gave to exactly this EK. Only `verifyEkCertificate` makes one. */
export interface VerifiedEkCertificate {
  readonly [verified]: true
  readonly certificate: Certificate
  /** From the EK certificate up to the trusted one. */
  readonly path: readonly Certificate[]
  /** Names of those in it that are past their end. */
  readonly expired: readonly string[]
  /** For people: `Infineon (SLB9670)`. */
  readonly maker: string
}

export interface EkQuestion {
  /** Null when the agent's TPM has none. */
  readonly ekCertificate: Certificate | null
  readonly ek: PublicArea
  /** Certificates that the TPM delivers with it; they are not trusted by themselves. */
  readonly intermediates?: readonly Certificate[]
  /** The store of makers' certificates. */
  readonly store: readonly Certificate[]
  /** Milliseconds since the epoch. */
  readonly now: number
  /** `ek_cert_expiry` */
  readonly expiry?: EkExpiry
}

/** What a certificate past its end means: no TPM can renew its own. */
export const EK_EXPIRY = ['accept', 'refuse'] as const
export type EkExpiry = (typeof EK_EXPIRY)[number]

export type EkVerdict = { ok: true; verified: VerifiedEkCertificate } | { ok: false; reason: string; hint: string }

/** The EK is in a genuine TPM: its certificate is for exactly this key and leads to a maker in the store (protocol 3.5, policies G). */
export function verifyEkCertificate({ ekCertificate, ek, intermediates = [], store, now, expiry = 'refuse' }: EkQuestion): EkVerdict {
  if (!ekCertificate) {
    return { ok: false, reason: 'the TPM has no EK certificate', hint: 'set require_ek_cert = False, or judge the EK with ek_check_script' }
  }
  if (!sameKey(ekCertificate.publicKey, ek.key)) {
    return {
      ok: false,
      reason: 'the EK certificate is for another key than the EK',
      hint: 'the agent or the registrar is not telling the truth: look at this machine',
    }
  }
  const unfit = ekDefects(ek)[0] ?? useOf(ekCertificate)
  if (unfit)
    return { ok: false, reason: unfit, hint: 'this is not the certificate of a genuine EK: look at this machine, and at who issued it' }
  if (store.length === 0) {
    return {
      ok: false,
      reason: 'the store of TPM makers is empty',
      hint: 'put the certificates of the TPM maker, as *.pem, into tpm_cert_store',
    }
  }
  const chain = verifyChain({ leaf: ekCertificate, intermediates, anchors: store, now, acceptExpired: expiry === 'accept' })
  if (!chain.ok) return { ok: false, reason: chain.reason, hint: hintFor(chain.reason, ekCertificate) }
  const found = {
    certificate: ekCertificate,
    path: chain.path,
    expired: expiredOf(chain.path, now).map(endText),
    maker: tpmMaker(ekCertificate),
  }
  return { ok: true, verified: found as unknown as VerifiedEkCertificate }
}

function useOf(certificate: Certificate): string | undefined {
  try {
    return certificateUseDefect(certificate, 'ek')
  } catch (error) {
    if (isKeylimeError(error)) return `the EK certificate cannot be read: ${error.message}`
    throw error
  }
}

const endText = ({ subject, serial, notAfter }: Certificate): string =>
  `"${subject || `serial ${serial}`}" ended on ${new Date(notAfter).toISOString().slice(0, 10)}`

function hintFor(reason: string, certificate: Certificate): string {
  if (reason.startsWith('no certificate of its issuer'))
    return `put the certificate of "${certificate.issuer}", as *.pem, into tpm_cert_store`
  if (reason.includes('expired'))
    return 'a TPM cannot renew its certificate, and makers seldom renew theirs: ek_cert_expiry = accept takes certificates past their end; a renewed certificate of a maker goes into tpm_cert_store'
  return 'check where the certificates in tpm_cert_store come from'
}
