import { type AuthorizedClient, whyNotAuthorized } from './authorized-clients.ts'
import { dateProblem } from './certificate-dates.ts'
import { verifyChain } from './chain.ts'
import type { RevocationList } from './crl.ts'
import { EXTENSION, extendedKeyUsageOf } from './extensions.ts'
import { givesRoles } from './roles.ts'
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
 * @param now milliseconds since the epoch.
 */
export function judgeClient(client: Certificate | undefined, trust: ClientTrust, now: number): ClientVerdict {
  if (!client) return { ok: false, reason: 'its certificate cannot be read' }
  const usages = extendedKeyUsageOf(client)
  const mayBeClient = usages === undefined || usages.includes(CLIENT_AUTH) || usages.includes(ANY_USAGE)
  if (!mayBeClient) return { ok: false, reason: 'its certificate is not for clients (extended key usage)' }
  return isIssuedDirectly(client, trust.authorities) ? judgeChain(client, trust, now) : judgeAlone(client, trust, now)
}

/** By its names: no authority is in between. */
export const isIssuedDirectly = (client: Certificate, authorities: readonly Certificate[]): boolean =>
  authorities.some(({ subjectName }) => subjectName.matchKey === client.issuerName.matchKey)

function judgeChain(client: Certificate, { authorities, lists, authorized }: ClientTrust, now: number): ClientVerdict {
  const enforced = [EXTENSION.nameConstraints] // by the TLS library, which knows them
  const chain = verifyChain({ leaf: client, intermediates: [], anchors: authorities, now, enforced })
  if (!chain.ok) return { ok: false, reason: chain.reason }
  const { path } = chain
  const why = whyRevoked(path, lists) ?? whyNotAuthorized(client, path.at(-1) as Certificate, authorized)
  return why ? { ok: false, reason: why } : { ok: true, validUntil: Math.min(...path.map(({ notAfter }) => notAfter)) }
}

/**
 * Of an authority in between, which only the TLS library has seen: nobody knows here whether it gives roles, or what it has revoked, and so where others give roles or revoke it counts for nothing.
 */
function judgeAlone(client: Certificate, { authorities, lists, authorized }: ClientTrust, now: number): ClientVerdict {
  const [authority] = authorities
  const mayRevoke = lists.some((list) => authorities.some(({ spki }) => spki.equals(list.authority.spki)))
  if (!authority || mayRevoke || authorities.some(givesRoles)) {
    return { ok: false, reason: `its certificate comes from "${client.issuer}", which is not in trusted_client_ca itself` }
  }
  const problem = dateProblem(client, now)
  const why = problem?.level === 'error' ? `its certificate ${problem.text}` : whyNotAuthorized(client, authority, authorized)
  return why ? { ok: false, reason: why } : { ok: true, validUntil: client.notAfter }
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
