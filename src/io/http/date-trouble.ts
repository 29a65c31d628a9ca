import tls from 'node:tls'
import { KeylimeError, rootCause } from '../../core/errors.ts'
import { parseCertificates } from '../../core/pki/certificate.ts'
import { type DateProblem, dateProblem } from '../../core/pki/certificate-dates.ts'
import type { Certificate } from '../../core/pki/types.ts'

/** What is known of both sides of a connection that failed. */
export interface TroubledConnection {
  /** `verifier at 10.0.0.1:8881` */
  readonly where: string
  /** The own certificate, PEM. */
  readonly cert?: string | undefined
  /** CAs that may vouch for the other side, PEM. */
  readonly ca?: readonly string[] | undefined
  /** Where to look at the certificate of the other side; none when it is known, as a pinned one is. */
  readonly address?: { readonly host: string; readonly port: number } | undefined
}

const BY_DATE = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])
/** What is seen of a server that ends a connection because of the client's certificate: an alert at best. */
const ENDED_BY_SERVER = /^(UND_ERR_SOCKET|ECONNRESET|EPIPE|EPROTO|ERR_(TLS|SSL)_.*)$/
const LOOK_MS = 3000
const RENEW = 'make another one, or correct the clock'

/**
 * Names the certificate whose dates made a connection fail, and its date: OpenSSL says "certificate has expired", and a server that refuses a client's closes
 * the connection without a word. @returns undefined when dates had no part in it. @param now milliseconds since the epoch.
 */
export async function dateTrouble(
  error: unknown,
  { where, cert, ca = [], address }: TroubledConnection,
  now: number,
): Promise<KeylimeError | undefined> {
  const code = String((rootCause(error) as NodeJS.ErrnoException).code ?? '')
  const failed = (text: string) => new KeylimeError('tls_failed', `${where}: ${text}`, { cause: error, hint: RENEW })
  if (BY_DATE.has(code)) {
    const [authority] = problemsOf(ca.flatMap(parseCertificates), now)
    if (authority) return failed(`TLS failed: the trusted CA "${authority.subject}" ${authority.problem.text}`)
    const [shown] = address ? problemsOf(await look(address), now) : []
    return shown && failed(`TLS failed: its certificate "${shown.subject}" ${shown.problem.text}`)
  }
  if (!ENDED_BY_SERVER.test(code) || cert === undefined) return undefined
  const [own] = problemsOf(parseCertificates(cert).slice(0, 1), now)
  return own && failed(`it does not accept the client certificate "${own.subject}" of this side, which ${own.problem.text}`)
}

function problemsOf(certificates: readonly Certificate[], now: number): { subject: string; problem: DateProblem }[] {
  return certificates.flatMap((certificate) => {
    const problem = dateProblem(certificate, now)
    return problem?.level === 'error' ? [{ subject: certificate.subject, problem }] : []
  })
}

/** Nothing is sent: only what the other side shows is read. */
function look({ host, port }: { host: string; port: number }): Promise<Certificate[]> {
  return new Promise((resolve) => {
    const done = (found: Certificate[]) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(found)
    }
    const socket = tls.connect({ host, port, rejectUnauthorized: false, servername: '' }, () => {
      const shown = socket.getPeerX509Certificate()
      done(shown ? parseCertificates(shown.toString()) : [])
    })
    const timer = setTimeout(() => done([]), LOOK_MS)
    socket.on('error', () => done([]))
  })
}
