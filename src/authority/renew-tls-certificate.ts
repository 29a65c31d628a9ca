import path from 'node:path'
import { parseCertificate } from '../core/pki/certificate.ts'
import type { HostName } from '../core/pki/issue.ts'
import type { Role } from '../core/pki/roles.ts'
import { readText } from '../io/files/read-file.ts'
import { BRIDGE, BRIDGE_BEFORE } from './authority-files.ts'
import { exists } from './ca-access.ts'
import { BACKDATE_MS } from './issue-certificate.ts'
import type { Issuer } from './issuer.ts'
import { renewCertificate } from './renew-certificate.ts'

/** What `tls_dir = generate` makes. */
export type TlsName = 'server' | 'client'

export const roleFor = (name: TlsName): Role => (name === 'server' ? 'server' : 'operator')

/**
 * The issuer of one of the two. While an authority and the one before count side by side the client's is the one before, unless that has ended: agents that know no other take it.
 * The server's is the new one: with the bridge behind it, who knows only the one before believes it.
 */
export function signerOf(issuer: Issuer, name: TlsName): Issuer {
  return name === 'client' && isBeforeBelieved(issuer) ? { ...issuer, ...issuer.before } : issuer
}

const isBeforeBelieved = ({ access, before }: Issuer): boolean => before !== undefined && before.certificate.notAfter > access.now()

/**
 * Certificates that stand behind it in its file, PEM: the bridge, as long as it is good. Also after the end of a rotation: a machine that was off, and comes by itself, finds the verifier by it
 * and hears of the next authority there.
 */
export async function chainOf({ access: { directory, now }, certificate }: Issuer, name: TlsName): Promise<string> {
  if (name !== 'server') return ''
  for (const file of [BRIDGE, BRIDGE_BEFORE].map((one) => path.join(directory, one))) {
    if (!(await exists(file))) continue
    const pem = await readText(file)
    const bridge = parseCertificate(pem)
    if (bridge.spki.equals(certificate.spki) && bridge.notAfter > now() + BACKDATE_MS) return pem
  }
  return ''
}

/** Signs one of the two anew, for its key. @returns false when there is none, or it was revoked: a key that was revoked gets no new certificate. */
export async function renewTlsCertificate(issuer: Issuer, name: TlsName, names?: readonly HostName[]): Promise<boolean> {
  const file = path.join(issuer.access.directory, `${name}-cert.crt`)
  if (!(await exists(file))) return false
  const { serial } = parseCertificate(await readText(file))
  if (issuer.store.revokedSerials.includes(serial.toString())) return false
  const chain = await chainOf(issuer, name)
  await renewCertificate(signerOf(issuer, name), { name, role: roleFor(name), chain, ...(names ? { names } : {}) })
  return true
}
