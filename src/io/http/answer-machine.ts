import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import type { NowOrLater } from '../../core/concurrency/now-or-later.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'
import { createInNextTurn } from '../next-turn.ts'
import type { ApplicationOptions } from './application-options.ts'
import { answerAndCutOff, isCutOff } from './cut-off.ts'
import type { failedRequests } from './failed-request.ts'
import { peerOf } from './peer-of.ts'
import { MAX_MESSAGE } from './refuse-request.ts'
import { isWhole, replyBody } from './reply-body.ts'
import { type RoutedRequest, replyToRequest } from './reply-to-request.ts'
import type { RequestBounds } from './request-bounds.ts'
import type { ApiReply, Route } from './route.ts'

interface Ways {
  bounds: RequestBounds
  failed: ReturnType<typeof failedRequests>
}

/**
 * Answers a request for a route of machines (with a token: `access: 'agent'`, or as they register: `fleet`), and nothing else, with no more than Node.js itself needs for it: a fleet asks thousands of times a second, and holds as many requests.
 * @returns false, and has done nothing, for any other request.
 */
export function answerMachine(
  options: ApplicationOptions,
  { bounds, failed }: Ways,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const inNextTurn = createInNextTurn()

  function answer(routed: RoutedRequest): void {
    let reply: NowOrLater<ApiReply>
    try {
      reply = replyToRequest(routed, options, bounds)
    } catch (error) {
      reply = failure(routed, error)
    }
    if (reply instanceof Promise) void reply.catch((error) => failure(routed, error)).then((reply) => send(routed, reply, ended))
    else send(routed, reply, ended)
  }

  function failure({ request, match: { route }, path, peer }: RoutedRequest, error: unknown): ApiReply {
    const from = request.socket.remoteAddress ?? ''
    const line = `${route.method} ${cutText(path, MAX_MESSAGE)}`
    return failed(error, { line, from, isCertified: peer.kind === 'certificate', isJsonApi: route.errors === 'json_api' })
  }

  const ended = (reason: Error) => options.logger.debug('connection ended early', { reason: reason.message })

  return (request, response) => {
    const path = pathOf(request.url!)
    if (path === null) return false
    const routing = bounds.route(request.method!, path)
    if (routing.kind !== 'match' || !isOfMachines(routing.match.route)) return false
    const peer = peerOf(request.socket, options.whyRefused)
    const routed = { request, response, path, match: routing.match, peer }
    inNextTurn(() => answer(routed)) // by then the parser has gone through all that came, and most bodies are whole
    return true
  }
}

const isOfMachines = ({ access, fleet }: Route): boolean => access === 'agent' || fleet === true

/** A path of ASCII without a fragment, with or without a query (RFC 9112, section 3.2.1). */
const ORIGIN_FORM = /^\/[!-"$-~]*$/

/** Null for a target that is anything else: it takes the long way, on which URLs are read. */
function pathOf(url: string): string | null {
  if (!ORIGIN_FORM.test(url)) return null
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/** @param ended told why a body that comes in pieces did not reach its end. */
function send({ request, response }: RoutedRequest, reply: ApiReply, ended: (reason: Error) => void): void {
  if (response.destroyed || request.socket.destroyed) return
  const status = reply.status ?? 200
  const given = replyBody(reply, status)
  const body = given?.body
  const headers = headersOf(reply, given?.type)
  if (isCutOff(request)) {
    response.statusCode = status
    for (let i = 0; i < headers.length; i += 2) response.setHeader(headers[i]!, headers[i + 1]!)
    answerAndCutOff(request, response, body !== undefined && isWhole(body) ? body : '')
  } else if (body === undefined) response.writeHead(status, headers).end()
  else if (isWhole(body)) {
    const length = Buffer.byteLength(body)
    headers.push('Content-Length', String(length))
    response.writeHead(status, headers).end(body, length === body.length ? 'latin1' : 'utf8') // ASCII is written as it is, with its head
  } else {
    response.writeHead(status, headers)
    pipeline(Readable.from(body, { objectMode: false }), response, (error) => error && ended(error))
  }
}

const PLAIN_JSON = 'application/json'

/** Names and values by turns, as Node.js writes them fastest. */
function headersOf({ headers }: ApiReply, type: string | undefined): string[] {
  const list: string[] = []
  for (const name in headers) list.push(name, headers[name]!)
  if (type !== undefined) list.push('Content-Type', type === PLAIN_JSON ? `${PLAIN_JSON}; charset=utf-8` : type)
  return list
}
