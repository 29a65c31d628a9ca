import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate, parseCertificates } from '../core/pki/certificate.ts'
import { verifyChain } from '../core/pki/chain.ts'
import { roleOf } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import { exists } from './ca-access.ts'
import { listAllCertificates } from './list-certificates.ts'

export interface TlsUse {
  readonly keylimeDir: string
  /** Files with certificates that a service or the tenant believes, such as `trusted_server_ca`; those that are missing are passed over. */
  readonly trusted: readonly string[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

const TLS_DIRECTORIES = ['cv_ca', 'reg_ca']

/**
 * An authority whose certificates verifier or registrar believe gives none to machines: each would be taken for one of theirs, or of an operator.
 * @throws KeylimeError `refused` when the directory is one of `tls_dir = generate`, its authority is believed, or it has issued a certificate with a role.
 */
export async function refuseTlsAuthority(directory: string, use: TlsUse): Promise<void> {
  const reason = await whyTls(directory, use)
  if (!reason) return
  throw new KeylimeError('refused', `${directory} makes no certificates for machines: ${reason}`, {
    hint: `use another directory; \`--cert\` alone is ${path.join(use.keylimeDir, 'ca')}`,
  })
}

async function whyTls(directory: string, { keylimeDir, trusted, now }: TlsUse): Promise<string | undefined> {
  const own = await realPath(directory)
  for (const name of TLS_DIRECTORIES)
    if (own === (await realPath(path.join(keylimeDir, name)))) return 'it is the authority of verifier and registrar themselves'
  const file = path.join(directory, 'cacert.crt')
  if (!(await exists(file))) return undefined
  const leaf = parseCertificate(await readText(file))
  const believed = TLS_DIRECTORIES.map((name) => path.join(keylimeDir, name, 'cacert.crt'))
  for (const from of new Set([...trusted, ...believed])) {
    const anchors = await certificatesOf(from)
    const isBelieved = anchors.some(({ spki }) => spki.equals(leaf.spki)) || verifyChain({ leaf, intermediates: [], anchors, now }).ok
    if (isBelieved) return `verifier and registrar are trusted by its certificates (${from})`
  }
  const issued = await listAllCertificates(directory, now)
  const withRole = issued.find(({ certificate }) => roleOf(certificate) !== undefined)
  return withRole ? `it has issued ${withRole.name}, whose role is ${roleOf(withRole.certificate)}` : undefined
}

async function certificatesOf(file: string): Promise<Certificate[]> {
  return (await exists(file)) ? parseCertificates(await readText(file)) : []
}

/** Of a directory that need not be there. */
const realPath = (directory: string): Promise<string> => fs.realpath(directory).catch(() => path.resolve(directory))
