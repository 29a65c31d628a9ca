import path from 'node:path'
import { makePackage, type PackageEntry } from '../core/payload/certificate-package.ts'
import { publicKeyPem } from '../core/pki/keys.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readFile } from '../io/files/read-file.ts'
import type { CaAccess } from './ca-access.ts'
import { readCertificate } from './list-certificates.ts'
import { withAuthority } from './open-authority.ts'

export interface PackageContent {
  readonly name: string
  readonly certificate: Certificate
  /** PEM, protected by a password or not. */
  readonly privateKey: string | Uint8Array
}

/**
 * Writes `<name>-pkg.zip` (protocol 3.2.2): keys and certificate of `name`, certificate and revocation list of the authority; six files, in upstream's
 * order. @returns them, for who delivers more with them, and the file.
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

/** The package of a certificate as it is in the directory. @param unprotected with the private key from the key store, not the file, which may have a password. @returns the file. */
export async function packageCertificate(access: CaAccess, name: string, unprotected: boolean): Promise<string> {
  const key = unprotected ? await withAuthority(access, async (authority) => authority.privateKeyOf(name)) : undefined
  const certificate = await readCertificate(access.directory, name)
  const privateKey = key ?? (await readFile(path.join(access.directory, `${name}-private.pem`)))
  return (await writePackage(access, { name, certificate, privateKey })).file
}
