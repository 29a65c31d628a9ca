import type http from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import Koa from 'koa'
import { cutText } from '../../core/verdict/bounded-text.ts'
import { answerMachine } from './answer-machine.ts'
import type { ApplicationOptions } from './application-options.ts'
import { answerAndCutOff, isCutOff } from './cut-off.ts'
import { failedRequests } from './failed-request.ts'
import { peerOf } from './peer-of.ts'
import { forbidden, MAX_MESSAGE, whyNot } from './refuse-request.ts'
import { isWhole, replyBody } from './reply-body.ts'
import { replyToRequest } from './reply-to-request.ts'
import { type RequestBounds, requestBounds } from './request-bounds.ts'
import type { ApiReply, Peer } from './route.ts'

/**
 * Answers requests by their routes: who may not call one, or asks for what is not there, is answered before a body is read. Requests of machines with a token, and of those that register, of which there are thousands a second, go past koa;
 * both ways ask `replyToRequest` what to say.
 */
export function requestListener(options: ApplicationOptions): http.RequestListener {
  const bounds = requestBounds(options)
  const failed = failedRequests(options.logger)
  const app = new Koa()
  app.use(async (ctx) => {
    try {
      apply(ctx, await answer(ctx, options, bounds))
    } catch (error) {
      const isCertified = peerOf(ctx.socket, options.whyRefused).kind === 'certificate'
      const line = `${ctx.method} ${cutText(pathOf(ctx) ?? '', MAX_MESSAGE)}`
      apply(ctx, failed(error, { line, from: ctx.socket.remoteAddress ?? '', isCertified, isJsonApi: ctx.state[JSON_API] === true }))
    }
  })
  app.on('error', (error: Error) => options.logger.debug('connection ended early', { reason: error.message }))
  const answerAny = app.callback()
  const ofMachine = answerMachine(options, { bounds, failed })
  return fewPerConnection((request, response) => {
    if (options.clientsOnly || !ofMachine(request, response)) answerAny(request, response)
  })
}

/** Requests of one connection that are not answered yet. Clients of Keylime send one after the other. */
const MAX_PIPELINED = 8

interface Unanswered {
  count: number
  /** One of them was. */
  answered(): void
}

/** Some thousand requests fit into one read of a socket, and would be answered in one turn of the event loop. */
function fewPerConnection(answer: http.RequestListener): http.RequestListener {
  const open = new WeakMap<Socket, Unanswered>()
  const begin = (socket: Socket): Unanswered => {
    const unanswered: Unanswered = { count: 0, answered: () => void unanswered.count-- }
    open.set(socket, unanswered)
    return unanswered
  }
  return (request, response) => {
    const { socket } = request
    if (socket.destroyed) return
    const unanswered = open.get(socket) ?? begin(socket)
    unanswered.count++
    response.on('close', unanswered.answered)
    if (unanswered.count > MAX_PIPELINED) socket.destroy()
    else answer(request, response)
  }
}

async function answer(ctx: Koa.Context, options: ApplicationOptions, bounds: RequestBounds): Promise<ApiReply> {
  const peer = peerOf(ctx.socket, options.whyRefused)
  if (options.clientsOnly && peer.kind !== 'certificate') return refusedWhole(peer, ctx, options)
  const path = pathOf(ctx)
  if (path === null) return { status: 400, message: 'the target of the request cannot be read' }
  const routing = bounds.route(ctx.method, path)
  if (routing.kind !== 'match') return (options.unknownRoute ?? defaultUnknown)({ method: ctx.method, path }, routing)
  const { match } = routing
  if (match.route.errors === 'json_api') ctx.state[JSON_API] = true
  return replyToRequest({ request: ctx.req, response: ctx.res, path, match, peer }, options, bounds)
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

function apply(ctx: Koa.Context, reply: ApiReply): void {
  const status = reply.status ?? 200
  ctx.status = status
  for (const [name, value] of Object.entries(reply.headers ?? {})) ctx.set(name, value)
  const body = replyBody(reply, status)
  if (body) {
    ctx.type = body.type
    ctx.body = isWhole(body.body) ? body.body : Readable.from(body.body, { objectMode: false })
  }
  if (!isCutOff(ctx.req)) return
  ctx.respond = false
  answerAndCutOff(ctx.req, ctx.res, body && isWhole(body.body) ? body.body : '')
}
