import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import Koa from 'koa'
import { hostPort } from '../../core/api/host-port.ts'
import { causeChain, httpStatusOf, isKeylimeError, KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { readBody, readJsonBody } from './json-body.ts'
import type { ApiReply, ApiRequest, Peer, Route } from './route.ts'
import { findRoute, type Routing } from './router.ts'

export interface ServerTls {
  /** PEM texts. */
  cert: string
  key: string
  keyPassword?: string
  /** CAs whose client certificates count. */
  ca: string[]
  /** Demand a client certificate for the whole connection (agents), or only where a route says so (servers). */
  requireCertificate: boolean
}

export interface ServeOptions {
  host: string
  /** 0 takes a free port. */
  port: number
  tls?: ServerTls
  routes: readonly Route[]
  versions: readonly string[]
  maxBodyBytes: number
  logger: Logger
  /** Replies to what no route takes; default 404, 405 with `Allow`, 404 for an unknown version. */
  unknownRoute?(request: { method: string; path: string }, routing: Exclude<Routing, { kind: 'match' }>): ApiReply
  /** How long an idle connection is kept, in seconds. */
  keepAliveSeconds?: number
}

export interface Listening {
  port: number
  /** Stops accepting, lets running requests end for `drainSeconds`, then closes every connection. */
  close(drainSeconds?: number): Promise<void>
}

const HANDSHAKE_TIMEOUT_MS = 10_000
const HEADERS_TIMEOUT_MS = 20_000
const REQUEST_TIMEOUT_MS = 60_000

/**
 * Serves `routes` over HTTP or TLS (1.2 and newer). Slow clients hold up nobody: handshake, headers, body and idle time are all bounded, each
 * for its own connection. @throws KeylimeError `address_in_use` or `tls_failed`.
 */
export async function serve(options: ServeOptions): Promise<Listening> {
  const handler = application(options).callback()
  const limits = {
    maxHeaderSize: 16_384,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 5_000,
  }
  const server = options.tls ? https.createServer({ ...limits, ...tlsOptions(options.tls) }, handler) : http.createServer(limits, handler)
  server.keepAliveTimeout = (options.keepAliveSeconds ?? 120) * 1000
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    options.logger.debug('TLS handshake failed', { from: socket.remoteAddress, reason: error.message })
    socket.destroy()
  })
  await listen(server, options)
  return { port: (server.address() as AddressInfo).port, close: (drainSeconds = 2) => closeServer(server, drainSeconds) }
}

const tlsOptions = (tls: ServerTls): https.ServerOptions => ({
  cert: tls.cert,
  key: tls.key,
  ...(tls.keyPassword ? { passphrase: tls.keyPassword } : {}),
  ca: tls.ca,
  requestCert: true,
  rejectUnauthorized: tls.requireCertificate,
  minVersion: 'TLSv1.2',
  handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  honorCipherOrder: true,
})

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
      else reject(new KeylimeError('address_in_use', `cannot listen on ${where}: ${cause.message}`, { cause }))
    })
    server.listen(port, host, resolve)
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

function application(options: ServeOptions): Koa {
  const app = new Koa()
  app.use(async (ctx) => {
    try {
      apply(ctx, await answer(ctx, options))
    } catch (error) {
      apply(ctx, failed(error, ctx, options.logger))
    }
  })
  app.on('error', (error: Error) => options.logger.debug('connection ended early', { reason: error.message }))
  return app
}

async function answer(ctx: Koa.Context, options: ServeOptions): Promise<ApiReply> {
  const routing = findRoute(options.routes, options.versions, ctx.method, ctx.path)
  if (routing.kind !== 'match') return (options.unknownRoute ?? defaultUnknown)({ method: ctx.method, path: ctx.path }, routing)
  const { route, version, params } = routing.match
  const peer = peerOf(ctx.socket)
  if (!options.tls && route.access !== 'peer' && !route.plainHttp) return { status: 400, message: 'this route is served over TLS only' }
  const mayCall = route.access === 'public' || peer.kind === 'certificate' || (route.access === 'peer' && !options.tls)
  if (!mayCall) return forbidden(route)
  const body = route.rawBody
    ? await readBody(ctx.req, route.rawBody.maxBytes)
    : await readJsonBody(ctx.req, route.maxBodyBytes ?? options.maxBodyBytes)
  const request: ApiRequest = {
    method: ctx.method,
    path: ctx.path,
    version,
    params,
    query: new URLSearchParams(ctx.querystring),
    headers: ctx.req.headers,
    body,
    peer,
    remoteAddress: ctx.socket.remoteAddress ?? '',
  }
  return route.handle(request)
}

function peerOf(socket: import('node:net').Socket): Peer {
  if (!(socket instanceof TLSSocket)) return { kind: 'anonymous' }
  const certificate = socket.getPeerX509Certificate()
  if (!certificate) return { kind: 'anonymous' }
  if (!socket.authorized) return { kind: 'untrusted' }
  return { kind: 'certificate', commonName: /(?:^|\n)CN=([^\n]*)/.exec(certificate.subject)?.[1] ?? '' }
}

const defaultUnknown: NonNullable<ServeOptions['unknownRoute']> = (_request, routing) =>
  routing.kind === 'method' ? { status: 405, headers: { Allow: routing.allowed.join(', ') } } : { status: 404 }

function forbidden(route: Route): ApiReply {
  const detail = `Action ${route.method} ${route.path} requires admin authentication (mTLS certificate)`
  const body = JSON.stringify({ errors: [{ status: '403', title: 'Forbidden', detail }] })
  return { status: 403, raw: { type: 'application/json', body } }
}

function failed(error: unknown, ctx: Koa.Context, logger: Logger): ApiReply {
  if (isKeylimeError(error)) {
    const status = httpStatusOf(error.code)
    logger.info(`${ctx.method} ${ctx.path}: ${causeChain(error).join(': ')}`, { status, from: ctx.socket.remoteAddress })
    return { status, message: error.message }
  }
  logger.error(`${ctx.method} ${ctx.path}: unexpected error`, { stack: error instanceof Error ? error.stack : String(error) })
  return { status: 500 }
}

function apply(ctx: Koa.Context, reply: ApiReply): void {
  const status = reply.status ?? 200
  ctx.status = status
  for (const [name, value] of Object.entries(reply.headers ?? {})) ctx.set(name, value)
  if (status === 413 || status === 408) ctx.set('Connection', 'close')
  if (reply.raw) {
    ctx.type = reply.raw.type
    ctx.body = reply.raw.body
    return
  }
  if (status === 204 || status === 304) return
  ctx.type = 'application/json'
  const message = reply.message ?? (status === 200 ? 'Success' : (http.STATUS_CODES[status] ?? ''))
  ctx.body = JSON.stringify({ code: status, status: message, results: reply.results === undefined ? {} : reply.results })
}
