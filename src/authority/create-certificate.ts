import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseSigningRequest } from '../core/pki/csr.ts'
import { type HostName, hostName } from '../core/pki/issue.ts'
import type { Role } from '../core/pki/roles.ts'
import { readFile } from '../io/files/read-file.ts'
import { type CaAccess, exists } from './ca-access.ts'
import type { Issued } from './issue-certificate.ts'
import { withAuthority } from './open-authority.ts'

export interface CreateRequest {
  readonly name: string
  readonly alternativeNames: readonly string[]
  readonly days: number | undefined
  /** File with a signing request: the key stays with its owner. */
  readonly csr: string | undefined
  /** Without one the certificate is a machine's. */
  readonly role?: Role | undefined
  /** Issue again although there is a certificate of that name. */
  readonly replace: boolean
}

/** Issues a certificate for a name. @throws KeylimeError `already_exists` when there is one and `replace` was not asked for. */
export async function createCertificate(access: CaAccess, request: CreateRequest): Promise<Issued> {
  const existing = path.join(access.directory, `${request.name}-cert.crt`)
  if (!request.replace && (await exists(existing))) {
    throw new KeylimeError('already_exists', `there is a certificate for ${request.name} already`, {
      hint: `revoke it first (\`keylime ca revoke -n ${request.name}\`), or add --replace to leave it valid and issue another`,
    })
  }
  const signing = request.csr ? parseSigningRequest(await readFile(request.csr)) : undefined
  const asked = signing?.alternativeNames.filter((name): name is HostName => name.type === 'dns' || name.type === 'ip') ?? []
  const names = request.alternativeNames.length > 0 ? request.alternativeNames.map(hostName) : asked
  return withAuthority(access, (authority) =>
    authority.issue({
      name: request.name,
      alternativeNames: names,
      ...(request.role ? { role: request.role } : {}),
      ...(request.days === undefined ? {} : { days: request.days }),
      ...(signing ? { publicKey: signing.publicKey } : {}),
    }),
  )
}
