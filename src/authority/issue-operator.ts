import { createPublicKey } from 'node:crypto'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { makePackage, type PackageEntry } from '../core/payload/certificate-package.ts'
import { parseSigningRequest } from '../core/pki/csr.ts'
import { makeKeyPair, privateKeyPem } from '../core/pki/keys.ts'
import { givesRoles } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readFile } from '../io/files/read-file.ts'
import type { CaAccess } from './ca-access.ts'
import { NOTIFIER } from './current-certificate.ts'
import { listAllCertificates } from './list-certificates.ts'
import { type OpenAuthority, withAuthority } from './open-authority.ts'

export interface OperatorRequest {
  readonly name: string
  readonly days: number | undefined
  /** File with a signing request: the key stays with its owner. */
  readonly csr: string | undefined
  /** Although there is one of that name: that one is revoked. */
  readonly replace: boolean
}

export interface IssuedOperator {
  readonly certificate: Certificate
  /** The package. */
  readonly file: string
  /** False when the authority gives no roles: then servers take its certificates whatever their role. */
  readonly authorityGivesRoles: boolean
  /** Of the certificates that were taken away. */
  readonly revoked: readonly bigint[]
}

/** Names of files that the directory's services use. */
const TAKEN = ['server', 'client', NOTIFIER]

/**
 * A certificate for a person who administrates, and the package with which he does: `NAME-operator.zip`, files named as the tenant looks for them in its
 * `tls_dir`. The private key is in the package alone. @throws KeylimeError `already_exists`, `invalid_request`.
 */
export async function issueOperator(access: CaAccess, request: OperatorRequest): Promise<IssuedOperator> {
  const { name, csr, days } = request
  if (TAKEN.includes(name))
    throw new KeylimeError('invalid_request', `"${name}" is the name of a service's certificate`, { hint: 'choose another name' })
  const pair = csr === undefined ? await makeKeyPair(access.settings.keyKind) : undefined
  const publicKey = csr === undefined ? undefined : parseSigningRequest(await readFile(csr)).publicKey
  return withAuthority(access, async (authority) => {
    const revoked = await takeAway(authority, request)
    const key = publicKey ?? (pair && createPublicKey(pair.privateKey))
    if (!key) throw new TypeError('unreachable: neither a request nor a pair')
    const { certificate } = await authority.issue({ name, publicKey: key, role: 'operator', ...(days === undefined ? {} : { days }) })
    const file = path.join(access.directory, `${name}-operator.zip`)
    const entries: PackageEntry[] = [
      { name: 'client-cert.crt', data: Buffer.from(certificate.pem) },
      ...(pair ? [{ name: 'client-private.pem', data: Buffer.from(privateKeyPem(pair.privateKey)) }] : []),
      { name: 'cacert.crt', data: await readFile(path.join(access.directory, 'cacert.crt')) },
    ]
    await writeFileAtomic(file, await makePackage(entries, access.now()), 0o600)
    return { certificate, file, revoked, authorityGivesRoles: givesRoles(authority.certificate) }
  })
}

/** What the name has had. @returns the serials that were revoked now. */
async function takeAway(authority: OpenAuthority, { name, replace }: OperatorRequest): Promise<readonly bigint[]> {
  const { directory, now } = authority.access
  const all = (await listAllCertificates(directory, now())).filter((one) => one.name === name)
  if (!all.some(({ state }) => state === 'valid')) return []
  if (!replace) {
    throw new KeylimeError('already_exists', `there is a certificate for ${name} already`, {
      hint: `take it away (\`keylime ca revoke -d ${directory} -n ${name}\`), or add --replace, which does so`,
    })
  }
  return (await authority.revokeName(name, 'superseded')).fresh
}
