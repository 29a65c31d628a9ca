import type { TLSSocket } from 'node:tls'
import { parseCertificate } from '../../core/pki/certificate.ts'
import { dateProblem } from '../../core/pki/certificate-dates.ts'
import { systemClock } from '../clock.ts'
import type { Logger } from '../log/logger.ts'
import { endedText } from './untrusted-text.ts'

/** Of one kind of failure, how often it is told. */
const INTERVAL_MS = 60_000

const WORDS: readonly [RegExp, string][] = [
  [/HTTP_REQUEST/, 'it spoke plain HTTP: this port is for TLS'],
  [
    /UNKNOWN_CA|unknown ca/i,
    'it does not know the CA of this server: it trusts another CA (trusted_server_ca, trusted_client_ca, registrar_tls_ca_cert)',
  ],
  [/CERTIFICATE_EXPIRED|certificate expired/i, 'it says that the certificate of this server has ended, or is not valid yet'],
  [/BAD_CERTIFICATE|bad certificate/i, 'it does not accept the certificate of this server'],
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE|peer did not return/i, 'it showed no client certificate'],
  [
    /UNABLE_TO|SELF_SIGNED|UNTRUSTED|CERT_HAS_EXPIRED|certificate verify failed/i,
    'its certificate is not from a CA that is trusted here (trusted_client_ca)',
  ],
  [/UNSUPPORTED_PROTOCOL|VERSION/i, 'it knows no version of TLS that is allowed here (1.2 and newer)'],
  [/WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL/i, 'it did not speak TLS'],
]

export interface HandshakeOptions {
  readonly logger: Logger
  /** The certificate that this server shows, PEM. */
  shown(): string | undefined
}

const ENDED = /CERTIFICATE_EXPIRED|certificate expired/i

/** In words; a date where a certificate is outside of its dates. */
function reasonOf(error: NodeJS.ErrnoException, socket: TLSSocket, own: string | undefined): string | undefined {
  const text = `${error.code ?? ''} ${error.message}`
  const words = endedText(socket, systemClock.now()) ?? WORDS.find(([pattern]) => pattern.test(text))?.[1]
  const problem = ENDED.test(text) && own ? dateProblem(parseCertificate(own), systemClock.now()) : undefined
  return problem?.level === 'error' ? `${words}: it ${problem.text}` : words
}

/**
 * Tells of failed handshakes in words: the likeliest mistake of an installation is a certificate of another CA, and the other side sees only that it was cut
 * off. Each kind once a minute, so that a flood of them fills no log; connections that were only closed are not told.
 */
export function handshakeComplaints({ logger, shown }: HandshakeOptions) {
  const last = new Map<string, { at: number; more: number }>()
  return {
    failed(error: NodeJS.ErrnoException, socket: TLSSocket) {
      const from = socket.remoteAddress
      const reason = reasonOf(error, socket, shown())
      if (reason === undefined) return logger.debug('TLS handshake failed', { from, reason: error.message })
      const now = performance.now()
      const kind = reason.split(';')[0]! // without what the clock says: it is another each time
      const before = last.get(kind)
      if (before && now - before.at < INTERVAL_MS) {
        before.more++
        return
      }
      last.set(kind, { at: now, more: 0 })
      logger.warn(`a TLS handshake failed: ${reason}`, { from, ...(before?.more ? { moreSince: before.more } : {}) })
    },
  }
}
