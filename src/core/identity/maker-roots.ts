import { createHash } from 'node:crypto'
import { isKeylimeError } from '../errors.ts'
import { issuerUrls } from '../pki/authority-information.ts'
import { authorityDefect, expiredOf, isSelfSigned, verifyChain } from '../pki/chain.ts'
import { attributeOf } from '../pki/names.ts'
import type { Certificate } from '../pki/types.ts'
import { certificateUseDefect } from './certificate-use.ts'

/** A certificate of a TPM maker, as a store of roots shows it. */
export interface MakerRoot {
  /** The organization that it names, else its common name. */
  readonly maker: string
  readonly subject: string
  readonly kind: 'root' | 'intermediate'
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
  /** Of its DER, hex. */
  readonly sha256: string
}

export const describeRoot = (certificate: Certificate): MakerRoot => ({
  maker: attributeOf(certificate.subjectName, 'O') ?? attributeOf(certificate.subjectName, 'CN') ?? 'an unnamed maker',
  subject: certificate.subject || `serial ${certificate.serial}`,
  kind: certificate.subjectName.matchKey === certificate.issuerName.matchKey ? 'root' : 'intermediate',
  notBefore: certificate.notBefore,
  notAfter: certificate.notAfter,
  sha256: fingerprint(certificate),
})

export const fingerprint = ({ der }: Pick<Certificate, 'der'>): string => createHash('sha256').update(der).digest('hex')

/** Why a certificate does not belong into a store of makers' authorities; undefined when it does. @param now milliseconds since the epoch. */
export function rootDefect(certificate: Certificate, now: number): string | undefined {
  try {
    return authorityDefect(certificate, now)
  } catch (error) {
    if (isKeylimeError(error)) return `it cannot be read: ${error.message}`
    throw error
  }
}

export interface EkChainQuestion {
  readonly certificate: Certificate
  /** Certificates that the TPM delivers with it. */
  readonly intermediates: readonly Certificate[]
  readonly store: readonly Certificate[]
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Certificates past their end count (`ek_cert_expiry`). */
  readonly acceptExpired: boolean
}

export type EkChain =
  /** From the EK certificate up to the trusted one; `expired`: those of it past their end. */
  | { readonly ok: true; readonly path: readonly Certificate[]; readonly expired: readonly Certificate[] }
  /** `missing`: the issuer whose certificate is not in the store, where that is what is wrong, and where it says that it can be fetched. */
  | { readonly ok: false; readonly reason: string; readonly missing: string | null; readonly urls: readonly string[] }

/** To which certificate of a store the certificate of an EK leads, or what keeps it from that. */
export function followEkChain({ certificate, intermediates, store, now, acceptExpired }: EkChainQuestion): EkChain {
  const unfit = useDefect(certificate)
  if (unfit) return { ok: false, reason: unfit, missing: null, urls: [] }
  const verdict = verifyChain({ leaf: certificate, intermediates, anchors: store, now, acceptExpired })
  if (verdict.ok) return { ok: true, path: verdict.path, expired: expiredOf(verdict.path, now) }
  const top = topOf(certificate, intermediates)
  const isMissing = !store.some(({ subjectName }) => subjectName.matchKey === top.issuerName.matchKey)
  return { ok: false, reason: verdict.reason, missing: isMissing ? top.issuer : null, urls: isMissing ? issuerUrls(top) : [] }
}

function useDefect(certificate: Certificate): string | undefined {
  try {
    return certificateUseDefect(certificate, 'ek')
  } catch (error) {
    if (isKeylimeError(error)) return `it cannot be read: ${error.message}`
    throw error
  }
}

/** The name of whoever signed the last certificate that the TPM has. */
export const missingIssuer = (leaf: Certificate, chain: readonly Certificate[]): string => topOf(leaf, chain).issuer

function topOf(leaf: Certificate, chain: readonly Certificate[]): Certificate {
  let at = leaf
  for (let i = 0; i < chain.length; i++) {
    const issuer = chain.find(({ subjectName }) => subjectName.matchKey === at.issuerName.matchKey)
    if (!issuer || isSelfSigned(issuer)) break
    at = issuer
  }
  return at
}
