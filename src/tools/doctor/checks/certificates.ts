import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { isKeylimeError } from '../../../core/errors.ts'
import { parseCertificates } from '../../../core/pki/certificate.ts'
import { verifyChain } from '../../../core/pki/chain.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { loadTlsIdentity } from '../../../io/files/tls-identity.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'
import type { Identity } from '../whereabouts.ts'

const { ok, note, warning, error } = findingsOf('certificates')

/** A certificate of a role and what is known beside it. The check of the configuration tells of dates that are over and of keys that every user may read. */
export interface ShownCertificate {
  readonly identity: Pick<Identity, 'role' | 'service' | 'names' | 'isMade'> & { readonly side: 'server' | 'client' }
  readonly file: string
  /** The leaf and what its file has behind it. */
  readonly chain: readonly Certificate[]
  /** Certificates of authorities that this host knows: beside the leaf, and those that are trusted. */
  readonly authorities: readonly Certificate[]
}

/** Whose certificates they are, for which names, and whether the authority here has really signed them. */
export async function checkCertificates({ where, now }: Subject): Promise<Finding[]> {
  const found: Finding[] = []
  for (const identity of where.identities) {
    const shown = await readShown(identity)
    found.push(
      ...(typeof shown === 'string'
        ? [note(shown, 'the first start makes what it needs; if it must be there, the configuration check says so')]
        : judgeCertificate(shown, now())),
    )
  }
  return [...new Map(found.map((finding) => [finding.what, finding])).values()] // a registrar inside of the verifier may show the same
}

async function readShown({ request, ...identity }: Identity): Promise<ShownCertificate | string> {
  try {
    const loaded = await loadTlsIdentity(request)
    const authorityFile = path.join(request.directory, 'cacert.crt')
    const texts = [...loaded.ca, ...(fs.existsSync(authorityFile) ? [fs.readFileSync(authorityFile, 'utf8')] : [])]
    return {
      identity: { ...identity, side: request.side },
      file: loaded.certFile,
      chain: parseCertificates(loaded.cert),
      authorities: texts.flatMap(parseCertificates),
    }
  } catch (failure) {
    if (!isKeylimeError(failure)) throw failure
    return `the ${request.side} certificate of the ${identity.role} is not there yet, or cannot be read`
  }
}

export function judgeCertificate(shown: ShownCertificate, now: number): Finding[] {
  const { identity, file, chain } = shown
  const [leaf] = chain
  if (!leaf) return [error(`${file} has no certificate`, `the ${identity.role} cannot serve`)]
  const found = [...judgeChain(shown, leaf, now), ...judgeNames(shown, leaf)]
  if (found.length > 0 || isOver(leaf, now)) return found
  const until = new Date(leaf.notAfter).toISOString().slice(0, 10)
  return [
    ok(`${file}: "${leaf.subject}" of "${leaf.issuer}", until ${until}`, `it is what the ${identity.role} shows as a ${identity.side}`),
  ]
}

const isOver = ({ notBefore, notAfter }: Certificate, now: number): boolean => now > notAfter || now < notBefore

function judgeChain({ identity, file, chain, authorities }: ShownCertificate, leaf: Certificate, now: number): Finding[] {
  const namesakes = authorities.filter(({ subjectName }) => subjectName.matchKey === leaf.issuerName.matchKey)
  if (isOver(leaf, now) || namesakes.some((authority) => authority.der.equals(leaf.der))) return []
  const verdict = verifyChain({ leaf, intermediates: chain.slice(1), anchors: authorities, now })
  if (verdict.ok) return []
  const fix = mend(identity, file)
  if (namesakes.length > 0)
    return [
      error(
        `${file}: the CA "${leaf.issuer}" of this host does not vouch for it: ${verdict.reason}`,
        `nobody who trusts this CA will trust the ${identity.role}`,
        fix,
      ),
    ]
  return [
    warning(
      `${file}: its issuer "${leaf.issuer}" is not known on this host`,
      'those who call it must have the certificate of that CA',
      null,
    ),
  ]
}

function judgeNames({ identity, file }: ShownCertificate, leaf: Certificate): Finding[] {
  if (identity.side === 'client') return []
  const x509 = new X509Certificate(leaf.pem)
  const missing = identity.names.filter((name) => (net.isIP(name) ? x509.checkIP(name) : x509.checkHost(name)) === undefined)
  if (missing.length === 0) return []
  return [
    warning(
      `${file} is not for ${missing.join(', ')}, but for ${x509.subjectAltName ?? 'no name'}`,
      'agents that bring their evidence, and programs that check names, refuse it under that name',
      mend(identity, file),
    ),
  ]
}

/** A service that makes its certificate makes another one, with its names of now. */
const mend = ({ service, isMade }: ShownCertificate['identity'], file: string): string | null =>
  isMade ? `mv ${file} ${file}.old && systemctl restart keylime-${service}` : null
