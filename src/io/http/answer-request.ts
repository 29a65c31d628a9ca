import http from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { TLSSocket } from 'node:tls'
import Koa from 'koa'
import { RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { causeChain, type ErrorCode, isKeylimeError } from '../../core/errors.ts'
import { parseCertificate } from '../../core/pki/certificate.ts'
import { roleOf } from '../../core/pki/roles.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'
import { systemClock } from '../clock.ts'
import type { Logger } from '../log/logger.ts'
import { refusedAgent } from './agent-access.ts'
import { answerAndCutOff, isCutOff } from './cut-off.ts'
import { failedRequests } from './failed-request.ts'
import { peerNetwork } from './peer-network.ts'
import { readBody, SMALL_BODY } from './read-body.ts'
import { type BodyRoomBytes, type RequestBounds, requestBounds, roomOf } from './request-bounds.ts'
import type { Access, ApiReply, Peer, Route } from './route.ts'
import type { Routing } from './router.ts'
import { untrustedText } from './untrusted-text.ts'

export interface ApplicationOptions {
  routes: readonly Route[]
  versions: readonly string[]
  /** The listener speaks TLS. */
  isSecure: boolean
  /** Why who shows a certificate of a trusted CA is no client all the same; undefined when he is one. Not asked on a listener without TLS. */
  whyRefused(socket: TLSSocket): string | undefined
  /** Whoever is no such client is refused whatever he asks. */
  clientsOnly?: boolean | undefined
  /** Whose session a token is, for routes that agents may call; null for none that counts. */
  agentOf?(token: string): string | null
  bodyRoomBytes?: BodyRoomBytes
  logger: Logger
  /** Told of a request that was refused for who asked, how often or how much. */
  onRefused?(refusal: Refusal): void
  /** Told of a connection on which a machine proved its key. */
  onProvedMachine?(socket: Socket, agentId: string): void
  /** Told of each request of an agent whose token counts. */
  onToken?(socket: Socket, agentId: string): void
  /** Replies to what no route takes; default 404, 405 with `Allow`, 404 for an unknown version. */
  unknownRoute?(request: { method: string; path: string }, routing: Exclude<Routing, { kind: 'match' }>): ApiReply
}

export interface Refusal {
  method: string
  /** The path of the route with its placeholders: nothing that the caller wrote. */
  route: string
  why: string
  peer: Peer
  remoteAddress: string
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set(['unauthorized', 'forbidden', 'refused', 'payload_too_large', 'too_many_requests'])

/** What a message says of a request may be of the request. */
const MAX_MESSAGE = 4096

/** Answers requests by their routes: who may not call one, or asks for what is not there, is answered before a body is read. */
export function requestListener(options: ApplicationOptions): http.RequestListener {
  const bounds = requestBounds(options)
  const failed = failedRequests(options.logger)
  const app = new Koa()
  app.use(async (ctx) => {
    try {
      await answer(ctx, options, bounds)
    } catch (error) {
      const isCertified = peerOf(ctx.socket, options).kind === 'certificate'
      const line = `${ctx.method} ${cutText(pathOf(ctx) ?? '', MAX_MESSAGE)}`
      apply(ctx, failed(error, { line, from: ctx.socket.remoteAddress ?? '', isCertified, isJsonApi: ctx.state[JSON_API] === true }))
    }
  })
  app.on('error', (error: Error) => options.logger.debug('connection ended early', { reason: error.message }))
  return fewPerConnection(app.callback())
}

/** Requests of one connection that are not answered yet. Clients of Keylime send one after the other. */
const MAX_PIPELINED = 8

/** Some thousand requests fit into one read of a socket, and would be answered in one turn of the event loop. */
function fewPerConnection(answer: http.RequestListener): http.RequestListener {
  const open = new WeakMap<Socket, number>()
  return (request, response) => {
    const { socket } = request
    if (socket.destroyed) return
    const count = (open.get(socket) ?? 0) + 1
    open.set(socket, count)
    response.once('close', () => open.set(socket, open.get(socket)! - 1))
    if (count > MAX_PIPELINED) socket.destroy()
    else answer(request, response)
  }
}

async function answer(ctx: Koa.Context, options: ApplicationOptions, bounds: RequestBounds): Promise<void> {
  const peer = peerOf(ctx.socket, options)
  if (options.clientsOnly && peer.kind !== 'certificate') return apply(ctx, refusedWhole(peer, ctx, options))
  const path = pathOf(ctx)
  if (path === null) return apply(ctx, { status: 400, message: 'the target of the request cannot be read' })
  const routing = bounds.route(ctx.method, path)
  if (routing.kind !== 'match') return apply(ctx, (options.unknownRoute ?? defaultUnknown)({ method: ctx.method, path }, routing))
  const { route, version, params } = routing.match
  if (route.errors === 'json_api') ctx.state[JSON_API] = true
  const remoteAddress = ctx.socket.remoteAddress ?? ''
  const asked = { isSecure: options.isSecure, path, refusedAgent: () => refusedAgent(ctx.req.headers, params['id'], options.agentOf) }
  const refusal = refused(route, peer, asked) ?? tooOften(route, peer, remoteAddress, bounds.rates)
  const tell = (why: string) => options.onRefused?.({ method: route.method, route: route.path, why, peer, remoteAddress })
  if (refusal) {
    const why = refusal.status === 403 ? (route.off ?? refusal.message ?? whyNot(peer)) : refusal.message
    if (refusal.status !== 400 && refusal.status !== 401) tell(why ?? '') // that a token has ended is told to nobody but the agent
    return apply(ctx, refusal)
  }
  if (route.access === 'agent') options.onToken?.(ctx.socket, params['id']!)
  if (ctx.req.headers.expect !== undefined) ctx.res.writeContinue()
  const reading = readBody(
    ctx.req,
    route.body ?? SMALL_BODY,
    roomOf(route, peer, bounds),
    route.access === 'agent' ? params['id'] : undefined,
  )
  const { body, done } = await reading.catch((error) => {
    tellRefusal(error, tell)
    throw error
  })
  try {
    const reply = await route.handle({
      method: ctx.method,
      path,
      version,
      params,
      get query() {
        return new URLSearchParams(ctx.querystring)
      },
      headers: ctx.req.headers,
      body,
      peer,
      remoteAddress,
      onGone: (tell) => void ctx.res.once('close', () => ctx.res.writableFinished || tell()),
    })
    if (reply.provedMachine !== undefined) options.onProvedMachine?.(ctx.socket, reply.provedMachine)
    apply(ctx, reply)
  } catch (error) {
    tellRefusal(error, tell)
    throw error
  } finally {
    done()
  }
}

const JSON_API = 'jsonApi'

/** Null for a target of absolute form (RFC 9112, section 3.2.2) that is no URL: reading it throws. */
function pathOf(ctx: Koa.Context): string | null {
  try {
    return ctx.path
  } catch {
    return null
  }
}

function tellRefusal(error: unknown, tell: (why: string) => void): void {
  if (isKeylimeError(error) && REFUSALS.has(error.code)) tell(causeChain(error).join(': '))
}

interface Asked {
  isSecure: boolean
  path: string
  refusedAgent(): ApiReply | null
}

/** Before anything of the body is read. */
function refused(route: Route, peer: Peer, { isSecure, path, refusedAgent }: Asked): ApiReply | null {
  const isOfAgents = route.access === 'peer' || route.access === 'operator'
  if (!isSecure && !isOfAgents && !route.plainHttp) return { status: 400, message: 'this route is served over TLS only' }
  if (route.access === 'agent') return route.off === undefined ? refusedAgent() : { status: 403, message: route.off }
  const mayCall = route.access === 'public' || peer.kind === 'certificate' || (isOfAgents && !isSecure)
  const line = () => `${route.method} ${cutText(path, MAX_MESSAGE)}`
  if (!mayCall) return forbidden(line(), peer)
  if (ofOperators.has(route.access) && isVerifier(peer)) return forbidden(line(), { ...peer, kind: 'refused', why: ONLY_A_VERIFIER })
  return route.off === undefined ? null : { status: 403, message: route.off }
}

const ofOperators: ReadonlySet<Access> = new Set(['admin', 'operator'])
const ONLY_A_VERIFIER = 'its certificate is one of a verifier, and this is for operators'

const isVerifier = (peer: Peer): peer is Peer & { kind: 'certificate' } =>
  peer.kind === 'certificate' && peer.certificate !== undefined && isOfVerifier(peer.certificate)

/** By the bytes that a connection has shown: to read a certificate costs more than most requests. */
const ofVerifiers = new WeakMap<Buffer, boolean>()

function isOfVerifier(certificate: Buffer): boolean {
  const known = ofVerifiers.get(certificate) ?? roleOf(parseCertificate(certificate)) === 'verifier'
  ofVerifiers.set(certificate, known)
  return known
}

/** Who has a certificate of ours is not counted: one address may be that of many operators. */
function tooOften({ rate }: Route, peer: Peer, address: string, rates: RequestBounds['rates']): ApiReply | null {
  if (!rate || peer.kind === 'certificate') return null
  const limiter = rates.get(rate) ?? new RateLimiter(rate)
  rates.set(rate, limiter)
  const seconds = limiter.take(peerNetwork(address), performance.now())
  if (seconds === 0) return null
  return { status: 429, message: `asked too often: try again in ${seconds} s`, headers: { 'Retry-After': String(seconds) } }
}

function peerOf(socket: Socket, { whyRefused }: ApplicationOptions): Peer {
  if (!(socket instanceof TLSSocket)) return { kind: 'anonymous' }
  const shown = shownBy(socket)
  if (!shown) return { kind: 'anonymous' }
  if (!socket.authorized) return { kind: 'untrusted', why: untrustedText(socket, systemClock.now()) }
  const { certificate, ...named } = shown
  const why = whyRefused(socket)
  return why === undefined ? { kind: 'certificate', ...shown } : { kind: 'refused', why, ...named }
}

interface Shown {
  commonName: string
  sha256: string
  certificate: Buffer
}

const certificates = new WeakMap<TLSSocket, Shown | null>()

/** Null for no certificate. A connection shows the same one as long as it lives: the server refuses to negotiate again. */
function shownBy(socket: TLSSocket): Shown | null {
  const known = certificates.get(socket)
  if (known !== undefined) return known
  const certificate = socket.getPeerX509Certificate()
  const shown = certificate
    ? {
        commonName: /(?:^|\n)CN=([^\n]*)/.exec(certificate.subject)?.[1] ?? '',
        sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
        certificate: certificate.raw,
      }
    : null
  certificates.set(socket, shown)
  return shown
}

const whyNot = (peer: Peer): string => ('why' in peer ? peer.why : 'it takes a client certificate of a trusted CA')

function refusedWhole(peer: Peer, ctx: Koa.Context, { logger }: ApplicationOptions): ApiReply {
  logger.info('a client was refused', {
    why: whyNot(peer),
    from: ctx.socket.remoteAddress,
    ...('commonName' in peer ? { commonName: peer.commonName } : {}),
  })
  return forbidden(ctx.method, peer)
}

const defaultUnknown: NonNullable<ApplicationOptions['unknownRoute']> = (_request, routing) =>
  routing.kind === 'method' ? { status: 405, headers: { Allow: routing.allowed.join(', ') } } : { status: 404 }

function forbidden(action: string, peer: Peer): ApiReply {
  const why = 'why' in peer ? `: ${peer.why}` : ''
  const detail = `Action ${action} requires admin authentication (mTLS certificate)${why}`
  const body = JSON.stringify({ errors: [{ status: '403', title: 'Forbidden', detail }] })
  return { status: 403, raw: { type: 'application/json', body } }
}

function apply(ctx: Koa.Context, reply: ApiReply): void {
  const status = reply.status ?? 200
  ctx.status = status
  for (const [name, value] of Object.entries(reply.headers ?? {})) ctx.set(name, value)
  const body = bodyOf(reply, status)
  if (body) {
    ctx.type = body.type
    ctx.body = isWhole(body.body) ? body.body : Readable.from(body.body, { objectMode: false })
  }
  if (!isCutOff(ctx.req)) return
  ctx.respond = false
  answerAndCutOff(ctx.req, ctx.res, body && isWhole(body.body) ? body.body : '')
}

const isWhole = (body: string | Buffer | AsyncIterable<Buffer>): body is string | Buffer =>
  typeof body === 'string' || Buffer.isBuffer(body)

function bodyOf({ raw, message, results }: ApiReply, status: number): ApiReply['raw'] {
  if (raw || status === 204 || status === 304) return raw
  const text = cutText(message ?? (status === 200 ? 'Success' : (http.STATUS_CODES[status] ?? '')), MAX_MESSAGE)
  return { type: 'application/json', body: JSON.stringify({ code: status, status: text, results: results === undefined ? {} : results }) }
}
