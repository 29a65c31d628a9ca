import type http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type NowOrLater, whenThere } from '../../core/concurrency/now-or-later.ts'
import { causeChain, type ErrorCode, isKeylimeError } from '../../core/errors.ts'
import type { ApplicationOptions } from './application-options.ts'
import { bodyAtHand, type ReadBody, readBody, SMALL_BODY } from './read-body.ts'
import { provedTpm, refusedCall, tooOften, whyNot } from './refuse-request.ts'
import { type RequestBounds, roomOf } from './request-bounds.ts'
import type { ApiReply, ApiRequest, Peer } from './route.ts'
import type { Match } from './router.ts'

/** A request for which there is a route. */
export interface RoutedRequest {
  request: IncomingMessage
  response: ServerResponse
  path: string
  match: Match
  peer: Peer
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set(['unauthorized', 'forbidden', 'refused', 'payload_too_large', 'too_many_requests'])

/**
 * What a route says to a request. Who may not call it is answered before a body is read. Nothing waits where the body is here, and the route does not wait. @throws what the route throws, and what `readBody` does.
 */
export function replyToRequest(routed: RoutedRequest, options: ApplicationOptions, bounds: RequestBounds): NowOrLater<ApiReply> {
  const { request, match, peer } = routed
  const { route, params } = match
  const refusal = refusedBeforeBody(routed, options, bounds)
  if (refusal) return refusal
  if (route.access === 'agent') options.onToken?.(request.socket, params['id']!)
  if (request.headers.expect !== undefined) routed.response.writeContinue()
  const rule = route.body ?? SMALL_BODY
  const failed = (error: unknown) => {
    if (isKeylimeError(error) && REFUSALS.has(error.code)) tell(routed, options, causeChain(error).join(': '))
    throw error
  }
  try {
    const body = bodyAtHand(request, rule) ?? readBody(request, rule, roomOf(route, peer, bounds), bodyOwner(match))
    const reply = whenThere(body, (read) => replyTo(routed, { ...read, options, bounds }))
    return reply instanceof Promise ? reply.catch(failed) : reply
  } catch (error) {
    return failed(error)
  }
}

type Reading = ReadBody & { options: ApplicationOptions; bounds: RequestBounds }

function replyTo(routed: RoutedRequest, { body, done, options: { onProvedMachine }, bounds }: Reading): NowOrLater<ApiReply> {
  let reply: NowOrLater<ApiReply> | undefined
  try {
    reply = whenThere(routed.match.route.handle(new HandledRequest(routed, body)), (reply) => {
      if (reply.provedMachine !== undefined) onProvedMachine?.(routed.request.socket, reply.provedMachine)
      if (reply.provedTpm !== undefined) giveBack(routed, reply.provedTpm, bounds)
      return reply
    })
    return reply instanceof Promise ? reply.finally(done) : reply
  } finally {
    if (!(reply instanceof Promise)) done()
  }
}

const giveBack = ({ match: { route }, peer, request: { socket } }: RoutedRequest, tpm: string, bounds: RequestBounds) =>
  provedTpm(route, { tpm, peer, address: socket.remoteAddress }, bounds)

/** Whose the body is, where that is not the network that it comes from. */
const bodyOwner = ({ route, params }: Match): string | undefined => (route.access === 'agent' ? params['id'] : undefined)

function refusedBeforeBody(routed: RoutedRequest, options: ApplicationOptions, bounds: RequestBounds): ApiReply | null {
  const { match, peer, path, request } = routed
  const { isSecure, agentOf } = options
  const refusal =
    refusedCall({ match, peer, path, headers: request.headers, isSecure, agentOf }) ??
    tooOften(match.route, peer, request.socket.remoteAddress, bounds.rates)
  if (!refusal) return null
  const why = refusal.status === 403 ? (match.route.off ?? refusal.message ?? whyNot(peer)) : refusal.message
  if (refusal.status !== 400 && refusal.status !== 401) tell(routed, options, why ?? '') // that a token has ended is told to nobody but the agent
  return refusal
}

function tell({ match: { route }, peer, request: { socket } }: RoutedRequest, { onRefused }: ApplicationOptions, why: string): void {
  onRefused?.({ method: route.method, route: route.path, why, peer, remoteAddress: addressOf(socket) })
}

const addressOf = (socket: Socket): string => socket.remoteAddress ?? ''

/** What a route is given. What few of them look at is made when it is looked at; nothing is kept of a request that is held but what it needs. */
class HandledRequest implements ApiRequest {
  readonly method: string
  readonly path: string
  readonly version: string
  readonly params: Record<string, string>
  readonly headers: http.IncomingHttpHeaders
  readonly body: unknown
  readonly peer: Peer
  readonly #url: string
  readonly #response: ServerResponse
  readonly #socket: Socket

  constructor({ request, response, path, match, peer }: RoutedRequest, body: unknown) {
    this.method = request.method!
    this.path = path
    this.version = match.version
    this.params = match.params
    this.headers = request.headers
    this.body = body
    this.peer = peer
    this.#url = request.url!
    this.#response = response
    this.#socket = request.socket
  }

  get remoteAddress(): string {
    return addressOf(this.#socket)
  }

  get query(): URLSearchParams {
    const at = this.#url.indexOf('?')
    return new URLSearchParams(at < 0 ? '' : this.#url.slice(at + 1))
  }

  get onGone(): (tell: () => void) => void {
    const response = this.#response
    return (tell) => void response.once('close', () => response.writableFinished || tell())
  }
}
