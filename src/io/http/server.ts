import { constants } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { requestListener } from './answer-request.ts'
import type { ApplicationOptions } from './application-options.ts'
import type { ClientCheck } from './client-check.ts'
import { connectionsByTurn } from './few-per-turn.ts'
import { handshakeComplaints } from './handshake-complaints.ts'
import { HandshakeLimit, type HandshakeRates, networkOf } from './handshake-limit.ts'
import { createHandshakeLine, type HandshakeLine } from './handshake-line.ts'

export interface ServerTls {
  /** PEM texts. */
  cert: string
  key: string
  keyPassword?: string
  /** CAs whose client certificates count, if `clients` accepts them. */
  ca: string[]
  clients: ClientCheck
  /** Demand a client certificate for the whole connection (agents), or only where a route says so (servers). */
  requireCertificate: boolean
}

export interface ServeOptions extends Omit<ApplicationOptions, 'isSecure' | 'whyRefused' | 'clientsOnly' | 'onProvedMachine' | 'onToken'> {
  host: string
  /** 0 takes a free port. */
  port: number
  tls?: ServerTls
  /** How long an idle connection is kept, in seconds. */
  keepAliveSeconds?: number
  timeLimits?: TimeLimits
  /** Of new connections over TLS. */
  handshakeRates?: HandshakeRates
}

/** How long a client may take, in milliseconds. */
export interface TimeLimits {
  /** For the handshake of TLS. */
  handshake: number
  /** From the first byte of a request to the end of its headers. */
  headers: number
  /** From the first byte of a request to its last. */
  request: number
  /** How often headers and requests are looked at. */
  check: number
}

export interface Listening {
  port: number
  /** Stops accepting, lets running requests end for `drainSeconds`, then closes every connection. */
  close(drainSeconds?: number): Promise<void>
  /** Other certificates for whoever connects from now on; connections that are open stay, and their clients are judged anew; where that cannot be, because of an authority in between, they end. @throws when they cannot be used, and changes nothing then. */
  renewTls(tls: ServerTls): void
}

export const TIME_LIMITS: TimeLimits = { handshake: 10_000, headers: 20_000, request: 60_000, check: 5_000 }

/**
 * Serves `routes` over HTTP or TLS (1.2 and newer). Slow clients hold up nobody: handshake, headers, body and idle time are all bounded, each
 * for its own connection. @throws KeylimeError `address_in_use` or `tls_failed`.
 */
export async function serve(options: ServeOptions): Promise<Listening> {
  let clients = options.tls?.clients
  const whyRefused = (socket: TLSSocket) => clients?.whyRefused(socket)
  const { tls } = options
  const limit = new HandshakeLimit(options.handshakeRates)
  const own = { isSecure: tls !== undefined, whyRefused, clientsOnly: tls?.requireCertificate }
  const handler = requestListener({
    ...options,
    ...own,
    onProvedMachine: (socket, agentId) => limit.provedMachine(socket, agentId, performance.now()),
    onToken: (socket, agentId) => limit.cameWithToken(socket, agentId, performance.now()),
  })
  const { handshake, headers, request, check } = options.timeLimits ?? TIME_LIMITS
  const limits = { maxHeaderSize: 16_384, headersTimeout: headers, requestTimeout: request, connectionsCheckingInterval: check }
  const server = options.tls
    ? https.createServer({ ...limits, handshakeTimeout: handshake, ...tlsOptions(options.tls) }, handler)
    : http.createServer(limits, handler)
  server.keepAliveTimeout = (options.keepAliveSeconds ?? 120) * 1000
  let shown = tls?.cert
  const handshakes = handshakeComplaints({ ...options, shown: () => shown })
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    handshakes.failed(error, socket)
    socket.destroy()
  })
  server.on('checkContinue', handler) // the body is asked for only when the route reads it
  const isClient = (socket: TLSSocket) => socket.authorized && whyRefused(socket) === undefined
  const line = options.tls ? limitHandshakes(server, limit, options.logger, isClient) : undefined
  const open = openConnections(server)
  let trusted = String(tls?.ca)
  await listen(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    close(drainSeconds = 2) {
      line?.close()
      return closeServer(server, drainSeconds)
    },
    renewTls(tls) {
      if (!(server instanceof https.Server)) return
      server.setSecureContext(tlsOptions(tls))
      if (clients) tls.clients.lists.countOn(clients.lists.current())
      clients = tls.clients
      shown = tls.cert
      // What the TLS library alone has judged, by authorities that may not count any more, is judged again by a handshake.
      if (String(tls.ca) !== trusted) for (const socket of open) if (!tls.clients.judgesChain(socket)) socket.destroy()
      trusted = String(tls.ca)
    },
  }
}

/** Some ten milliseconds of the one thread. */
const HANDSHAKES_A_TURN = 12

/** Who makes new connections too often waits for a while, or gets none for a moment. Connections that are there are not touched. */
function limitHandshakes(
  server: http.Server | https.Server,
  limit: HandshakeLimit,
  logger: Logger,
  isClient: (socket: TLSSocket) => boolean,
): HandshakeLine {
  const listeners = server.listeners('connection')
  const begin = connectionsByTurn(HANDSHAKES_A_TURN, (socket) => {
    for (const listener of listeners) listener.call(server, socket)
  })
  const admits = (socket: Socket) => limit.admits(socket, performance.now())
  const line = createHandshakeLine({ admits, begin })
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const network = networkOf(socket)
    if (!line.has(network) && admits(socket)) return begin(socket)
    if (server.listening && limit.mayWait(socket) && line.join(network, socket)) return
    logger.debug('too many new connections', { from: socket.remoteAddress })
    socket.destroy()
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    if (isClient(socket)) limit.proved(socket)
  })
  return line
}

/** Of those over TLS. */
function openConnections(server: http.Server | https.Server): ReadonlySet<TLSSocket> {
  const open = new Set<TLSSocket>()
  server.on('secureConnection', (socket: TLSSocket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return open
}

const tlsOptions = (tls: ServerTls): https.ServerOptions => ({
  cert: tls.cert,
  key: tls.key,
  ...(tls.keyPassword ? { passphrase: tls.keyPassword } : {}),
  ca: tls.ca,
  requestCert: true,
  rejectUnauthorized: tls.requireCertificate,
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION, // who was judged at the beginning is who asks, to the end
})

/** Connections that the system has for us, and we have not seen: a fleet comes back in one moment. What is beyond them is dropped, and comes again after a second and more. */
const BACKLOG = 4096

function listen(server: http.Server | https.Server, { host, port }: ServeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const where = hostPort(host, port)
      if (cause.code === 'EADDRINUSE')
        reject(
          new KeylimeError('address_in_use', `${where} is already in use`, {
            cause,
            hint: `stop the other program, or choose another port ("ss -ltnp 'sport = :${port}'" names it)`,
          }),
        )
      else if (cause.code === 'EADDRNOTAVAIL')
        reject(
          new KeylimeError('address_in_use', `cannot listen on ${where}: this machine does not have that address`, {
            cause,
            hint: 'set an address of this machine ("ip address" shows them), 127.0.0.1, or 0.0.0.0 for all',
          }),
        )
      else reject(new KeylimeError('address_in_use', `cannot listen on ${where}: ${cause.message}`, { cause }))
    })
    server.listen({ port, host, backlog: BACKLOG }, resolve)
  })
}

function closeServer(server: http.Server | https.Server, drainSeconds: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), drainSeconds * 1000)
    server.close(() => {
      clearTimeout(force)
      resolve()
    })
    server.closeIdleConnections()
  })
}
