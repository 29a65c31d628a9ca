import { isKeylimeError } from '../errors.ts'
import { basicConstraintsOf, EXTENSION, hasKeyUsage, KEY_USAGE } from './extensions.ts'
import { isSignatureRight } from './signature-algorithm.ts'
import type { Certificate } from './types.ts'

export interface ChainQuestion {
  readonly leaf: Certificate
  /** Certificates that help to build the path but are not trusted by themselves. */
  readonly intermediates: readonly Certificate[]
  /** Trusted certificates, such as the store of TPM makers. */
  readonly anchors: readonly Certificate[]
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Certificates past their end are good all the same: for makers who renew nothing. A path without such a one comes first. */
  readonly acceptExpired?: boolean
  /** Critical extensions, dotted OIDs, that were enforced elsewhere. */
  readonly enforced?: readonly string[]
}

export type ChainVerdict = { ok: true; path: Certificate[] } | { ok: false; reason: string }

const MAX_LENGTH = 8
const MAX_SIGNATURES = 64

/** Critical extensions that are understood, or that restrict nothing here because no policy is asked for. */
const UNDERSTOOD = new Set<string>([
  EXTENSION.keyUsage,
  EXTENSION.subjectAlternativeName,
  EXTENSION.basicConstraints,
  EXTENSION.certificatePolicies,
  EXTENSION.policyMappings,
  EXTENSION.policyConstraints,
  EXTENSION.extendedKeyUsage,
  EXTENSION.inhibitAnyPolicy,
  EXTENSION.crlDistributionPoints,
])

/**
 * Finds a path from `leaf` to a trusted certificate (RFC 5280, section 6). Every link is checked: name, signature over the original bytes, validity at
 * `now`, CA flag, keyCertSign, path length, unknown critical extensions.
 *
 * Every certificate of `anchors` is trusted, because upstream's stores hold intermediates without their roots. But one level is not enough: when the
 * issuer of such an intermediate is in the store too, the path goes on to it, up to the self-signed root, and each of those links must hold as well. So an
 * intermediate under an expired root is refused when that root is in the store. Several certificates with the same subject are all tried.
 */
export function verifyChain(question: ChainQuestion): ChainVerdict {
  const verdict = findPath({ ...question, acceptExpired: false })
  return verdict.ok || !question.acceptExpired ? verdict : findPath(question)
}

/** Why a certificate cannot be one of an authority now, as the last of a path; undefined when it can. @throws KeylimeError `malformed`. */
export const authorityDefect = (certificate: Certificate, now: number): string | undefined =>
  issuerDefect(certificate, 0) ?? certificateDefect(certificate, { now })

/** Of a path, those past their end. */
export const expiredOf = (path: readonly Certificate[], now: number): Certificate[] => path.filter(({ notAfter }) => now > notAfter)

function findPath(question: ChainQuestion): ChainVerdict {
  try {
    const search = new Search(question)
    const reason = certificateDefect(question.leaf, question)
    if (reason) return { ok: false, reason }
    const path = search.from([question.leaf])
    return path ? { ok: true, path } : { ok: false, reason: search.reason() }
  } catch (error) {
    if (isKeylimeError(error)) return { ok: false, reason: `a certificate of the chain cannot be read: ${error.message}` }
    throw error
  }
}

/** Same name and same key: the two certificates stand for the same authority. */
export function isSelfSigned(certificate: Certificate): boolean {
  return certificate.subjectName.matchKey === certificate.issuerName.matchKey && isSignedBy(certificate, certificate)
}

/** The signature of `certificate` is right for the key of `issuer`; names are not looked at. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const algorithm = certificate.signatureAlgorithm
  return algorithm !== undefined && isSignatureRight(algorithm, issuer.publicKey, certificate.tbs, certificate.signature)
}

/** Certificates by the name of their subject, each once. */
type BySubject = ReadonlyMap<string, readonly Certificate[]>

function bySubject(certificates: readonly Certificate[]): BySubject {
  const found = new Map<string, readonly Certificate[]>()
  for (const certificate of certificates) {
    const known = found.get(certificate.subjectName.matchKey) ?? []
    if (!has(known, certificate)) found.set(certificate.subjectName.matchKey, [...known, certificate])
  }
  return found
}

const stores = new WeakMap<readonly Certificate[], BySubject>()

/** Of a store once, which has hundreds: a changed one is another array. */
function storeBySubject(store: readonly Certificate[]): BySubject {
  const known = stores.get(store) ?? bySubject(store)
  stores.set(store, known)
  return known
}

const has = (certificates: readonly Certificate[], { der }: Certificate): boolean => certificates.some((other) => other.der.equals(der))

class Search {
  readonly #question: ChainQuestion
  readonly #trusted: BySubject
  readonly #helping: BySubject
  #signatures = 0
  #reason = ''
  #reasonDepth = -1

  constructor(question: ChainQuestion) {
    this.#question = question
    this.#trusted = storeBySubject(question.anchors)
    this.#helping = bySubject(question.intermediates)
  }

  reason(): string {
    return this.#reason
  }

  /** The first whole path that starts with `path`, or undefined. */
  from(path: Certificate[]): Certificate[] | undefined {
    const last = path.at(-1) as Certificate
    const trusted = (this.#trusted.get(last.issuerName.matchKey) ?? []).filter((certificate) => !path.includes(certificate))
    const helping = (this.#helping.get(last.issuerName.matchKey) ?? []).filter((certificate) => !has([...path, ...trusted], certificate))
    const candidates = [...trusted, ...helping]
    if (candidates.length === 0) this.#note(path, `no certificate of its issuer "${last.issuer}" is in the store`)
    for (const [i, certificate] of candidates.entries()) {
      const defect = this.#linkDefect(path, certificate)
      if (defect) this.#note(path, defect)
      else {
        const whole = this.#goOn([...path, certificate], i < trusted.length)
        if (whole) return whole
      }
    }
    return undefined
  }

  #goOn(path: Certificate[], trusted: boolean): Certificate[] | undefined {
    const last = path.at(-1) as Certificate
    if (trusted && last.subjectName.matchKey === last.issuerName.matchKey) return path
    const issuerKnown = this.#trusted.get(last.issuerName.matchKey)?.some((certificate) => !path.includes(certificate))
    if (trusted && !issuerKnown) return path
    return this.from(path)
  }

  #linkDefect(path: Certificate[], issuer: Certificate): string | undefined {
    const subject = path.at(-1) as Certificate
    const below = path.slice(1).filter((certificate) => certificate.subjectName.matchKey !== certificate.issuerName.matchKey).length
    if (path.length >= MAX_LENGTH || ++this.#signatures > MAX_SIGNATURES) return 'the chain is longer than is reasonable'
    return issuerDefect(issuer, below) ?? certificateDefect(issuer, this.#question) ?? signatureDefect(subject, issuer)
  }

  /** Of several reasons the one furthest up is the most telling. */
  #note(path: Certificate[], reason: string): void {
    if (path.length <= this.#reasonDepth) return
    this.#reasonDepth = path.length
    this.#reason = path.length === 1 ? reason : `${reason} (above "${nameOf(path.at(-1) as Certificate)}")`
  }
}

function issuerDefect(issuer: Certificate, certificatesBelow: number): string | undefined {
  const constraints = basicConstraintsOf(issuer)
  const oldRoot = issuer.version === 1 && issuer.subjectName.matchKey === issuer.issuerName.matchKey
  if (!constraints?.ca && !oldRoot) return `"${nameOf(issuer)}" is not a certificate authority`
  if (hasKeyUsage(issuer, KEY_USAGE.keyCertSign) === false) return `"${nameOf(issuer)}" may not sign certificates`
  if (constraints?.pathLength !== undefined && certificatesBelow > constraints.pathLength) {
    return `"${nameOf(issuer)}" allows only ${constraints.pathLength} authorities below it`
  }
  return undefined
}

function certificateDefect(
  certificate: Certificate,
  { now, acceptExpired, enforced = [] }: Pick<ChainQuestion, 'now' | 'acceptExpired' | 'enforced'>,
): string | undefined {
  if (!(now >= certificate.notBefore)) return `"${nameOf(certificate)}" is not valid before ${dateText(certificate.notBefore)}`
  const isGood = now <= certificate.notAfter || (acceptExpired && now > certificate.notAfter) // an unreadable date is neither
  if (!isGood) return `"${nameOf(certificate)}" expired on ${dateText(certificate.notAfter)}`
  const unknown = [...certificate.extensions].find(
    ([oid, extension]) => extension.critical && !UNDERSTOOD.has(oid) && !enforced.includes(oid),
  )
  return unknown ? `"${nameOf(certificate)}" has an unknown critical extension ${unknown[0]}` : undefined
}

function signatureDefect(certificate: Certificate, issuer: Certificate): string | undefined {
  if (!certificate.signatureAlgorithm) return `"${nameOf(certificate)}" is signed in a way that is not accepted`
  return isSignedBy(certificate, issuer) ? undefined : `the signature of "${nameOf(certificate)}" is not of "${nameOf(issuer)}"`
}

const nameOf = (certificate: Certificate) => certificate.subject || `serial ${certificate.serial}`
const dateText = (time: number) => (Number.isNaN(time) ? 'an unreadable date' : new Date(time).toISOString().slice(0, 10))
