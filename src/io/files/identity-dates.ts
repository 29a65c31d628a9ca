import { parseCertificates } from '../../core/pki/certificate.ts'
import { type DateProblem, dateProblem } from '../../core/pki/certificate-dates.ts'
import type { Logger } from '../log/logger.ts'
import type { TlsIdentity } from './tls-identity.ts'

/** With the file whose certificate it is. */
export interface FileDates extends DateProblem {
  readonly file: string
}

/** Problems with the dates of the certificate that one side shows, and of the CAs that it believes, as sentences that name option and file. */
export function identityDates({ certFile, cert, trusted }: TlsIdentity, side: 'server' | 'client', now: number): FileDates[] {
  const trust = side === 'server' ? 'trusted_client_ca' : 'trusted_server_ca'
  return [
    ...certificateDates({ option: `${side}_cert`, file: certFile, pem: cert }, now),
    ...trusted.flatMap((from) => trustedDates({ option: trust, ...from }, now)),
  ]
}

/** An authority that has ended is no error where the next one is trusted, too. */
function trustedDates(shown: { option: string; file: string; pem: string }, now: number): FileDates[] {
  const dates = certificateDates(shown, now)
  const isLeft = parseCertificates(shown.pem).some((certificate) => dateProblem(certificate, now)?.level !== 'error')
  return isLeft ? dates.map((date) => ({ ...date, level: 'warning' })) : dates
}

/** When a certificate of this program, or the last of the authorities that it believes, ends. */
export interface CertificateEnd {
  readonly certificate: 'server' | 'client' | 'client_ca' | 'server_ca'
  /** Milliseconds since the epoch. */
  readonly notAfter: number
}

/** An authority that ends is no trouble where the next one is trusted, too: of them the last counts. */
export function certificateEnds({ cert, trusted }: TlsIdentity, side: 'server' | 'client'): CertificateEnd[] {
  const ends = (pem: string) => parseCertificates(pem).map(({ notAfter }) => notAfter)
  const authorities = trusted.flatMap(({ pem }) => ends(pem))
  return [
    { certificate: side, notAfter: Math.min(...ends(cert)) },
    ...(authorities.length > 0
      ? [{ certificate: side === 'server' ? ('client_ca' as const) : ('server_ca' as const), notAfter: Math.max(...authorities) }]
      : []),
  ]
}

/** The same of all certificates of a file. */
export const certificateDates = ({ option, file, pem }: { option: string; file: string; pem: string }, now: number): FileDates[] =>
  parseCertificates(pem).flatMap((certificate) => {
    const problem = dateProblem(certificate, now)
    return problem ? [{ file, level: problem.level, text: `${option}: ${file} ${problem.text}` }] : []
  })

/** What a start says of them: it goes on, because a clock that is wrong at boot is mended later. */
export function tellDates(problems: readonly DateProblem[], logger: Logger): void {
  for (const { level, text } of problems) logger[level === 'error' ? 'error' : 'warn'](text)
}

/** What a check adds to. */
export interface FoundDates {
  readonly problems: string[]
  readonly warnings: string[]
}

/** For `--check-config`: what cannot be used now is a problem. @param madeAnew files that the start itself replaces when they have ended (`tls_dir = generate`). */
export function checkDates(dates: readonly FileDates[], found: FoundDates, madeAnew: readonly string[] = []): void {
  for (const { level, file, text } of dates) {
    if (level === 'warning') found.warnings.push(text)
    else if (madeAnew.includes(file)) found.warnings.push(`${text}; the start makes another`)
    else found.problems.push(`${text} (renew it, or correct the clock)`)
  }
}
