import { createHash } from 'node:crypto'
import { attributeOf } from './names.ts'
import { givesRoles, ROLES, type Role, roleOf } from './roles.ts'
import type { Certificate } from './types.ts'

/** One entry of `authorized_clients`. */
export type AuthorizedClient =
  /** The role `operator` where the authority gives roles; any certificate of an authority that gives none, as upstream does. */
  | { readonly kind: 'default' }
  /** Any certificate of a trusted authority. */
  | { readonly kind: 'any' }
  | { readonly kind: 'role'; readonly role: Role }
  /** Common name. Where the authority gives roles, the certificate needs one that calls, too: names of machines are chosen by others. */
  | { readonly kind: 'name'; readonly name: string }
  /** SHA-256 of the public key (SubjectPublicKeyInfo), hex. */
  | { readonly kind: 'key'; readonly sha256: string }

/** Also a verifier, with its own role, where operators are known by theirs: routes say what it may ask. */
export const withVerifiers = (authorized: readonly AuthorizedClient[]): readonly AuthorizedClient[] =>
  authorized.some(({ kind }) => kind === 'default') ? [...authorized, { kind: 'role', role: 'verifier' }] : authorized

/** @throws Error that says what an entry looks like. */
export function parseAuthorizedClient(text: string): AuthorizedClient {
  if (text === 'default' || text === 'any') return { kind: text }
  const [, kind, value = ''] = /^(role|name|key):(.+)$/s.exec(text) ?? []
  const role = ROLES.find((known) => known === value)
  if (kind === 'role' && role) return { kind, role }
  if (kind === 'name') return { kind, name: value }
  const sha256 = value.replaceAll(':', '').toLowerCase()
  if (kind === 'key' && /^[0-9a-f]{64}$/.test(sha256)) return { kind, sha256 }
  throw new Error(`must be "default", "any", "role:operator", "name:COMMON NAME" or "key:SHA-256 of the public key in hex", not "${text}"`)
}

/** Undefined when one of the entries is met, else why none is. @param authority whose word the certificate is. */
export function whyNotAuthorized(
  certificate: Certificate,
  authority: Certificate,
  authorized: readonly AuthorizedClient[],
): string | undefined {
  if (authorized.some((entry) => meets(entry, certificate, authority))) return undefined
  if (roleOf(certificate) === 'server') return 'its certificate is a server’s, and servers may call nobody'
  if (roleOf(certificate) === 'verifier') return 'its certificate is a verifier’s, which may call agents and read at the registrar'
  if (givesRoles(authority) && roleOf(certificate) === undefined) return 'its certificate has no role'
  return 'its certificate is not among authorized_clients'
}

function meets(entry: AuthorizedClient, certificate: Certificate, authority: Certificate): boolean {
  const mayCall = !givesRoles(authority) || roleOf(certificate) === 'operator'
  if (entry.kind === 'any') return true
  if (entry.kind === 'default') return mayCall
  if (entry.kind === 'role') return roleOf(certificate) === entry.role
  if (entry.kind === 'name') return mayCall && attributeOf(certificate.subjectName, 'CN') === entry.name
  return entry.sha256 === publicKeyHash(certificate)
}

/** What `key:` names. */
export const publicKeyHash = (certificate: Certificate): string => createHash('sha256').update(certificate.spki).digest('hex')
