import { type AuthorizedClient, whyNotAuthorized } from './authorized-clients.ts'
import { verifyChain } from './chain.ts'
import type { RevocationList } from './crl.ts'
import { EXTENSION, extendedKeyUsageOf } from './extensions.ts'
import type { Certificate } from './types.ts'

/** A revocation list whose signature was checked. */
export interface AuthorityList {
  readonly authority: Certificate
  readonly list: RevocationList
}

/** Whom a server lets call. */
export interface ClientTrust {
  readonly authorities: readonly Certificate[]
  readonly lists: readonly AuthorityList[]
  readonly authorized: readonly AuthorizedClient[]
}

/** `validUntil`: when the answer must be found anew at the latest, milliseconds since the epoch. */
export type ClientVerdict = { readonly ok: true; readonly validUntil: number } | { readonly ok: false; readonly reason: string }

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_USAGE = '2.5.29.37.0'

/**
 * Whether a client may call, by the certificate that it proved in the handshake. The TLS library has checked the chain then; it is checked again because a
 * connection may outlive its certificate, and because only here it is known whose word the certificate is.
 * @param sent the client's certificate, then whatever else it sent. @param now milliseconds since the epoch.
 */
export function judgeClient(sent: readonly Certificate[], trust: ClientTrust, now: number): ClientVerdict {
  const [leaf, ...intermediates] = sent
  if (!leaf) return { ok: false, reason: 'it showed no certificate' }
  const enforced = [EXTENSION.nameConstraints] // by the TLS library, which knows them
  const chain = verifyChain({ leaf, intermediates, anchors: trust.authorities, now, enforced })
  if (!chain.ok) return { ok: false, reason: chain.reason }
  const { path } = chain
  const usages = extendedKeyUsageOf(leaf)
  const mayBeClient = usages === undefined || usages.includes(CLIENT_AUTH) || usages.includes(ANY_USAGE)
  const reason = mayBeClient ? whyRevoked(path, trust.lists) : 'its certificate is not for clients (extended key usage)'
  const anchor = path.at(-1) as Certificate
  const why = reason ?? whyNotAuthorized(leaf, anchor, trust.authorized)
  return why ? { ok: false, reason: why } : { ok: true, validUntil: Math.min(...path.map(({ notAfter }) => notAfter)) }
}

/** What is in a list counts also when the list itself has ended, or begins in the future: nothing that was revoked becomes good again. */
function whyRevoked(path: readonly Certificate[], lists: readonly AuthorityList[]): string | undefined {
  for (const [i, certificate] of path.entries()) {
    const issuer = path[i + 1]
    const ofIssuer = lists.filter(({ authority }) => issuer !== undefined && authority.spki.equals(issuer.spki))
    const entry = ofIssuer.flatMap(({ list }) => list.revoked).find(({ serial }) => serial === certificate.serial)
    if (entry) return `${i === 0 ? 'its certificate' : `"${certificate.subject}"`} was revoked on ${new Date(entry.date).toISOString()}`
  }
  return undefined
}
