import { alternativeNames } from './subject-alternative-names.ts'
import type { Certificate } from './types.ts'

/**
 * What a certificate may be used for over mutual TLS: `operator` calls verifier, registrar, agents and authority; `server` is one of them, and calls nobody; `verifier` is that of a verifier as
 * a client: it asks agents and reads at the registrar, and can neither order a payload nor administrate.
 */
export const ROLES = ['operator', 'server', 'verifier'] as const

export type Role = (typeof ROLES)[number]

/** In the alternative names, where every tool shows it in plain words. No signing request and no option `--san` can ask for a name of this kind. */
export const roleName = (role: Role): string => `urn:keylime:role:${role}`

/** In an authority's own certificate: it gives roles, so what has none from it may call nobody. */
export const GIVES_ROLES = 'urn:keylime:roles'

/** In a certificate by which one authority vouches for the next. */
export const SUCCESSOR = 'urn:keylime:successor'

export const isBridge = (certificate: Certificate): boolean => uris(certificate).includes(SUCCESSOR)

/** The role that the authority gave the certificate. */
export function roleOf(certificate: Certificate): Role | undefined {
  const names = uris(certificate)
  return ROLES.find((role) => names.includes(roleName(role)))
}

/** False for authorities of upstream, of others, and for those that were made here before there were roles: nothing in their certificates tells an operator from a machine. */
export const givesRoles = (authority: Certificate): boolean => uris(authority).includes(GIVES_ROLES)

const uris = (certificate: Certificate): string[] =>
  alternativeNames(certificate).flatMap((name) => (name.type === 'uri' ? [name.value] : []))

/**
 * Why a certificate is no server's, or undefined: where the authority gives roles, a machine's certificate is not taken for that of verifier or registrar. Who
 * has checked the chain before knows that it is of one of these authorities.
 */
export function whyNoServer(certificate: Certificate, authorities: readonly Certificate[]): string | undefined {
  const issuer = authorities.find(({ subjectName }) => subjectName.matchKey === certificate.issuerName.matchKey)
  const mustHaveRole = issuer ? givesRoles(issuer) : authorities.length > 0 && authorities.every(givesRoles) // of one in between, too
  return mustHaveRole && roleOf(certificate) !== 'server' ? `its certificate "${certificate.subject}" is not a server’s` : undefined
}
