import type { TLSSocket } from 'node:tls'
import { dateProblem } from '../../core/pki/certificate-dates.ts'

/** Why the TLS library does not trust the certificate of a client, in words that are for it and for the log. @param now milliseconds since the epoch. */
export function untrustedText(socket: TLSSocket, now: number): string {
  const code = codeOf(socket)
  if (code === 'INVALID_PURPOSE') return 'its certificate is not for clients (extended key usage)'
  if (!BY_DATE.has(code)) return 'its certificate is not from a trusted CA'
  const shown = socket.getPeerX509Certificate()
  const dates = shown && { notBefore: shown.validFromDate.getTime(), notAfter: shown.validToDate.getTime() }
  const problem = dates && dateProblem(dates, now)
  return problem?.level === 'error' ? `its certificate ${problem.text}` : outsideText(code, now)
}

/** The same of a connection that was ended already: nothing is left of the certificate then. Undefined when dates had no part in it. */
export function endedText(socket: TLSSocket, now: number): string | undefined {
  const code = codeOf(socket)
  return BY_DATE.has(code) ? outsideText(code, now) : undefined
}

const BY_DATE = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

/** Node's words for OpenSSL's verdict say the code alone. */
function codeOf({ authorizationError }: TLSSocket): string {
  return String((authorizationError as unknown as NodeJS.ErrnoException)?.code ?? authorizationError ?? '')
}

const outsideText = (code: string, now: number) =>
  `its certificate, or its CA, ${code === 'CERT_HAS_EXPIRED' ? 'has ended' : 'is not valid yet'}; is the clock right? here it says ${new Date(now).toISOString()}`
