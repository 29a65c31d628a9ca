import { crlAddressesOf } from '../core/pki/extensions.ts'
import { makeAuthority } from '../core/pki/issue.ts'
import { givesRoles } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readAuthorities, writeAuthorities } from './authority-files.ts'
import type { Issuer } from './issuer.ts'

/** The authority's certificate with the list's address as it is configured now: signed anew when that is another, if it was made by this program. */
export async function currentAuthority(issuer: Issuer): Promise<Certificate> {
  const { certificate, access } = issuer
  return isCurrent(certificate, access.settings.crlUrl) ? certificate : signAuthority(issuer)
}

/** One that this program did not make stays as it is. */
export const isCurrent = (authority: Certificate, crlUrl: string): boolean =>
  !givesRoles(authority) || (crlAddressesOf(authority)[0] ?? '') === crlUrl

/** Signs it anew with the same key, name and dates. It says that it gives roles. */
export async function signAuthority({ access, certificate, key, store }: Issuer): Promise<Certificate> {
  const serial = store.newSerial()
  await store.takeSerials([serial])
  const fresh = await makeAuthority({
    subject: certificate.subjectName.der,
    publicKey: certificate.publicKey,
    privateKey: key,
    serial,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    crlUrl: access.settings.crlUrl,
    givesRoles: true,
  })
  const others = (await readAuthorities(access.directory)).filter(({ spki }) => !spki.equals(fresh.spki))
  await writeAuthorities(access.directory, [fresh, ...others])
  return fresh
}
