import { createHash } from 'node:crypto'
import type { CertificateState } from '../../authority/list-certificates.ts'
import { publicKeyHash } from '../../core/pki/authorized-clients.ts'
import { attributeOf } from '../../core/pki/names.ts'
import { roleOf } from '../../core/pki/roles.ts'
import { alternativeNames } from '../../core/pki/subject-alternative-names.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { alignColumns, relativeTime } from '../../io/terminal/terminal.ts'

const day = (time: number) => new Date(time).toISOString().slice(0, 10)

/** `keylime ca list`: one line a certificate. */
export function certificateTable(states: readonly CertificateState[], now: number): string[] {
  if (states.length === 0) return ['no certificate has been issued; make one with `keylime ca create -n NAME`']
  const rows = states.map(({ name, certificate, state, revocation, isLast }) => [
    name,
    certificate.serial.toString(),
    roleOf(certificate) ?? '',
    stateText({ state, isLast }),
    day(certificate.notBefore),
    day(certificate.notAfter),
    revocation ? `${relativeTime(revocation.date, now)}${revocation.reason ? `, ${revocation.reason}` : ''}` : '',
  ])
  return alignColumns([['NAME', 'SERIAL', 'ROLE', 'STATE', 'FROM', 'TO', 'REVOKED'], ...rows])
}

/** Of several with one name the last counts; an earlier one is good until its end all the same, unless it was revoked. */
const stateText = ({ state, isLast }: Pick<CertificateState, 'state' | 'isLast'>): string =>
  state === 'valid' && !isLast ? 'valid, earlier' : state

/** `keylime ca show`. */
export function certificateDetails({ name, certificate, state, revocation }: CertificateState): string[] {
  return alignColumns([
    ['name', name],
    ['common name', commonNameOf(certificate)],
    ['subject', certificate.subject],
    ['issuer', certificate.issuer],
    ['serial', certificate.serial.toString()],
    ['role', roleOf(certificate) ?? 'none: it calls no server of Keylime'],
    ['public key, SHA-256', publicKeyHash(certificate)],
    [
      'state',
      revocation ? `${state} on ${new Date(revocation.date).toISOString()}${revocation.reason ? ` (${revocation.reason})` : ''}` : state,
    ],
    ['valid from', new Date(certificate.notBefore).toISOString()],
    ['valid to', new Date(certificate.notAfter).toISOString()],
    ['host names', hostNamesOf(certificate).join(', ')],
    ['SHA-256', createHash('sha256').update(certificate.der).digest('hex')],
  ])
}

/** One certificate for `--json`. */
export function certificateJson({ name, certificate, state, revocation, isLast }: CertificateState): Record<string, unknown> {
  return {
    name,
    serial: certificate.serial.toString(),
    subject: certificate.subject,
    role: roleOf(certificate) ?? null,
    public_key_sha256: publicKeyHash(certificate),
    state,
    last: isLast,
    not_before: new Date(certificate.notBefore).toISOString(),
    not_after: new Date(certificate.notAfter).toISOString(),
    host_names: hostNamesOf(certificate),
    revoked_at: revocation ? new Date(revocation.date).toISOString() : null,
    reason: revocation?.reason ?? null,
    sha256: createHash('sha256').update(certificate.der).digest('hex'),
  }
}

function hostNamesOf(certificate: Certificate): string[] {
  return alternativeNames(certificate).flatMap((name) => (name.type === 'dns' || name.type === 'ip' ? [name.value] : []))
}

const commonNameOf = (certificate: Certificate): string => attributeOf(certificate.subjectName, 'CN') ?? certificate.subject
