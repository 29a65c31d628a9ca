import { X509Certificate } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'
import type { buildConnector } from 'undici'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { type DateProblem, dateProblem } from '../../core/pki/certificate-dates.ts'

export interface PinnedTarget {
  host: string
  port: number
  /** The certificate that the peer must show, or another for its key, PEM; null speaks plain HTTP. */
  pin: string | null
}

/** The client certificate of many connections: each new one shows what is `current` then. */
export interface ClientContext {
  current: tls.SecureContext
  /** The certificate itself, PEM: named when a peer ends the connection because it has ended. */
  cert?: string
}

/** The public key of a PEM certificate, DER. @throws KeylimeError `malformed`. */
export function pinOf(pem: string): Buffer {
  try {
    return keyOf(new X509Certificate(pem))
  } catch (cause) {
    throw new KeylimeError('malformed', 'the certificate to pin is not a PEM certificate', { cause })
  }
}

const keyOf = (certificate: X509Certificate): Buffer => certificate.publicKey.export({ format: 'der', type: 'spki' })

/** What is wrong with the dates of a certificate to pin, or undefined; one that cannot be read is refused by who connects. @param now milliseconds since the epoch. */
export function pinDates(pem: string, now: number): DateProblem | undefined {
  try {
    const { validFromDate, validToDate } = new X509Certificate(pem)
    return dateProblem({ notBefore: validFromDate.getTime(), notAfter: validToDate.getTime() }, now)
  } catch {
    return undefined
  }
}

/**
 * Connects to exactly one peer. With a pin, the key of its certificate is compared before the first byte of a request is written; TLS has proved by then
 * that the peer holds it. The rest of the certificate proves nothing more, and is another when the agent has renewed it (decision 63). No session is ever resumed: a resumed connection shows no certificate to compare.
 * @param context the client certificate, shared by all peers.
 */
export function pinnedConnector(target: PinnedTarget, context: ClientContext | undefined, timeoutMs: number): buildConnector.connector {
  const where = hostPort(target.host, target.port)
  const pin = target.pin === null ? null : pinOf(target.pin)
  return (_options, callback) => {
    const address = { host: target.host, port: target.port, noDelay: true }
    const socket = pin
      ? tls.connect({
          ...address,
          ...(context ? { secureContext: context.current } : {}),
          rejectUnauthorized: false,
          servername: '',
          minVersion: 'TLSv1.2',
        })
      : net.connect(address)
    let done = false
    const finish = (error: Error | null) => {
      if (done) return
      done = true
      clearTimeout(timer)
      if (error) socket.destroy()
      if (error) callback(error, null)
      else callback(null, socket as tls.TLSSocket)
    }
    const timer = setTimeout(() => finish(new KeylimeError('timeout', `${where} did not accept a connection in time`)), timeoutMs)
    socket.on('error', finish) // stays: an error after the hand-over is the new owner's, and must not be unhandled before
    socket.once(pin ? 'secureConnect' : 'connect', () => {
      const shown = pin ? (socket as tls.TLSSocket).getPeerX509Certificate() : undefined
      if (pin && !(shown && keyOf(shown).equals(pin)))
        finish(
          new KeylimeError('tls_failed', `${where} shows another certificate than the one registered for this agent`, {
            hint: 'the agent was reinstalled, or something else answers at this address',
          }),
        )
      else finish(null)
    })
  }
}
