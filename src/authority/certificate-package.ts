import path from 'node:path'
import { makePackage, type PackageEntry } from '../core/payload/certificate-package.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { publicKeyPem } from '../core/pki/keys.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readFile, readText } from '../io/files/read-file.ts'
import type { CaAccess } from './ca-access.ts'
import { readCertificate } from './list-certificates.ts'
import { withAuthority, withDirectoryLock } from './open-authority.ts'
import { refuseTlsAuthority, type TlsUse } from './serves-tls.ts'
import { isCurrent } from './sign-authority.ts'

export interface PackageContent {
  readonly name: string
  readonly certificate: Certificate
  /** PEM, protected by a password or not. */
  readonly privateKey: string | Uint8Array
}

/**
 * Writes `<name>-pkg.zip` (protocol 3.2.2): keys and certificate of `name`, certificate and revocation list of the authority; six files, in upstream's
 * order. For who holds the lock of the directory. @returns them, for who delivers more with them, and the file.
 */
export async function writePackage(access: CaAccess, content: PackageContent): Promise<{ file: string; entries: PackageEntry[] }> {
  const { name, certificate, privateKey } = content
  const ofAuthority = async (file: string) => ({ name: file, data: await readFile(path.join(access.directory, file)) })
  const entries = [
    { name: `${name}-public.pem`, data: Buffer.from(publicKeyPem(certificate.publicKey)) },
    { name: `${name}-cert.crt`, data: Buffer.from(certificate.pem) },
    { name: `${name}-private.pem`, data: Buffer.from(privateKey) },
    await ofAuthority('cacert.crt'),
    await ofAuthority('cacrl.der'),
    await ofAuthority('cacrl.pem'),
  ]
  const file = path.join(access.directory, `${name}-pkg.zip`)
  await writeFileAtomic(file, await makePackage(entries, access.now()), 0o600)
  return { file, entries }
}

/**
 * The package of a certificate as it is in the directory. @param unprotected with the private key from the key store, not the file, which may have a password.
 * @returns the file. @throws KeylimeError `refused` for an authority of TLS.
 */
export async function packageCertificate(access: CaAccess, request: { name: string; unprotected: boolean; use: TlsUse }): Promise<string> {
  const { name, unprotected, use } = request
  await refuseTlsAuthority(access.directory, use)
  const certificate = await readCertificate(access.directory, name)
  const authority = parseCertificate(await readText(path.join(access.directory, 'cacert.crt')))
  if (!isCurrent(authority, access.settings.crlUrl)) await withAuthority(access, (opened) => opened.refresh())
  const key = unprotected ? await withAuthority(access, async (opened) => opened.privateKeyOf(name)) : undefined
  const privateKey = key ?? (await readFile(path.join(access.directory, `${name}-private.pem`)))
  return (await withDirectoryLock(access, () => writePackage(access, { name, certificate, privateKey }))).file
}
