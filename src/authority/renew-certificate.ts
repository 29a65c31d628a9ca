import path from 'node:path'
import { parseCertificate } from '../core/pki/certificate.ts'
import { type HostName, issueCertificate } from '../core/pki/issue.ts'
import type { Role } from '../core/pki/roles.ts'
import { alternativeNames } from '../core/pki/subject-alternative-names.ts'
import type { Certificate } from '../core/pki/types.ts'
import { replaceFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { BACKDATE_MS } from './issue-certificate.ts'
import { keepIssued } from './issued-certificates.ts'
import type { Issuer } from './issuer.ts'

const DAY_MS = 86_400_000

export interface Renewal {
  readonly name: string
  readonly role: Role
  /** In place of the names that it has had. */
  readonly names?: readonly HostName[]
  /** Certificates that stand behind it in the file, PEM. */
  readonly chain?: string
}

/**
 * Signs a certificate of the directory anew, for the key that it has: one file is replaced, whole, so that whoever reads key and certificate meanwhile has a
 * pair, and what knows the key (`authorized_clients = key:…`) knows it still.
 */
export async function renewCertificate(issuer: Issuer, { name, role, names, chain = '' }: Renewal): Promise<Certificate> {
  const { access, store } = issuer
  const file = path.join(access.directory, `${name}-cert.crt`)
  const old = parseCertificate(await readText(file))
  const serial = store.newSerial()
  const now = access.now()
  const fresh = await issueCertificate(issuer, {
    subject: old.subjectName.der,
    publicKey: old.publicKey,
    serial,
    notBefore: now - BACKDATE_MS,
    notAfter: now + access.settings.lifetimeDays * DAY_MS,
    alternativeNames: names ?? hostNamesOf(old),
    crlUrl: access.settings.crlUrl,
    role,
  })
  await store.takeSerials([serial])
  await keepIssued(access.directory, name, fresh)
  await replaceFileAtomic(file, fresh.pem + chain, 0o640)
  return fresh
}

const hostNamesOf = (certificate: Certificate): HostName[] =>
  alternativeNames(certificate).flatMap((known) =>
    known.type === 'dns' || known.type === 'ip' ? [{ type: known.type, value: known.value }] : [],
  )
