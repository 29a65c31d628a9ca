import path from 'node:path'
import { parseCertificate } from '../core/pki/certificate.ts'
import { type Role, roleOf } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import { type CaAccess, exists } from './ca-access.ts'
import type { Issuer } from './issuer.ts'
import { withIssuer } from './open-authority.ts'
import { renewTlsCertificate, type TlsName } from './renew-tls-certificate.ts'
import { publishCrl } from './revocation-list.ts'
import { signAuthority } from './sign-authority.ts'

/** What `tls_dir = generate` makes, and the role of each. */
const TLS_CERTIFICATES: readonly [name: TlsName, role: Role][] = [
  ['server', 'server'],
  ['client', 'operator'],
]

export interface Reissued {
  readonly authority: Certificate
  /** Names of certificates that got their role. */
  readonly names: readonly string[]
}

/**
 * Signs the authority's own certificate anew with the same key, name and end: from now on it gives roles, and names the list's address as it is configured now.
 * Whoever has the old certificate believes what is issued as before. The server's and the client's certificates of `tls_dir = generate` get their roles and keep
 * their keys; what else was issued has no role, and calls no server that knows the new certificate.
 */
export async function reissueAuthority(access: CaAccess): Promise<Reissued> {
  return withIssuer(access, async (issuer) => {
    const authority = await signAuthority(issuer)
    const names: string[] = []
    for (const [name, role] of TLS_CERTIFICATES) if (await giveRole({ ...issuer, certificate: authority }, name, role)) names.push(name)
    await publishCrl({ ...issuer, certificate: authority })
    return { authority, names }
  })
}

/** @returns false when there is no such certificate, it has the role, or it was revoked: a key that was revoked gets no new certificate. */
async function giveRole(issuer: Issuer, name: TlsName, role: Role): Promise<boolean> {
  const { access, store } = issuer
  const file = path.join(access.directory, `${name}-cert.crt`)
  if (!(await exists(file))) return false
  const old = parseCertificate(await readText(file))
  if (roleOf(old) === role || store.revokedSerials.includes(old.serial.toString())) return false
  await renewTlsCertificate(issuer, name)
  return true
}
