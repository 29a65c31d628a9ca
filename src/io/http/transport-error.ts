import { KeylimeError, rootCause } from '../../core/errors.ts'

const TIMEOUTS = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
  'ABORT_ERR',
  'UND_ERR_ABORTED',
])
const HINTS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there: is the service running, and are address and port right?',
  ENOTFOUND: 'the host name cannot be resolved: check the spelling, or use an IP address',
  EHOSTUNREACH: 'there is no route to this host: check the network and the firewall',
  ENETUNREACH: 'there is no route to this network: check the network and the firewall',
}

/** Turns what a socket or undici throws into `unreachable`, `timeout` or `tls_failed`. @param where `verifier 10.0.0.1:8881` */
export function transportError(cause: unknown, where: string): KeylimeError {
  if (cause instanceof KeylimeError) return cause
  const root = rootCause(cause)
  const code = String((root as NodeJS.ErrnoException).code ?? '')
  if (TIMEOUTS.has(code) || root.name === 'TimeoutError')
    return new KeylimeError('timeout', `${where} did not answer in time`, {
      cause,
      hint: 'is the address right, is the machine on, and does every firewall on the way let this port through?',
    })
  const mixed = mixedProtocols(code)
  if (mixed)
    return new KeylimeError('tls_failed', `${where}: ${mixed}`, {
      cause,
      hint: 'is the port right? each server has one for TLS, and some have another without',
    })
  if (/^ERR_(TLS|SSL|OSSL)|CERT|SELF_SIGNED|UNABLE_TO_|^INVALID_/.test(code) || code === 'EPROTO')
    return new KeylimeError('tls_failed', `${where}: TLS failed (${root.message})`, {
      cause,
      hint: 'check that both sides use certificates of the same CA (tls_dir, trusted_client_ca, trusted_server_ca)',
    })
  const hint = HINTS[code]
  return new KeylimeError('unreachable', `cannot reach ${where}: ${code || root.message}`, { cause, ...(hint ? { hint } : {}) })
}

/** Plain HTTP to a port for TLS, and the reverse. */
function mixedProtocols(code: string): string | undefined {
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|HTTP_REQUEST)$/.test(code))
    return 'it does not speak TLS on this port'
  return code.startsWith('HPE_') ? 'it does not speak HTTP on this port; perhaps it is one for TLS' : undefined
}
