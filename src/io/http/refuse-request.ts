import type { IncomingHttpHeaders } from 'node:http'
import { RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'
import { refusedAgent } from './agent-access.ts'
import { peerNetwork } from './peer-network.ts'
import { isVerifier } from './peer-of.ts'
import type { RequestBounds } from './request-bounds.ts'
import type { Access, ApiReply, Peer, Route } from './route.ts'
import type { Match } from './router.ts'

/** What a message says of a request may be of the request. */
export const MAX_MESSAGE = 4096

export interface Asked {
  match: Match
  peer: Peer
  path: string
  headers: IncomingHttpHeaders
  /** The listener speaks TLS. */
  isSecure: boolean
  agentOf: ((token: string) => string | null) | undefined
}

/** Who may not call a route is told so before anything of the body is read. @returns null for who may. */
export function refusedCall({ match: { route, params }, peer, path, headers, isSecure, agentOf }: Asked): ApiReply | null {
  const isOfAgents = route.access === 'peer' || route.access === 'operator'
  if (!isSecure && !isOfAgents && !route.plainHttp) return { status: 400, message: 'this route is served over TLS only' }
  if (route.access === 'agent')
    return route.off === undefined ? refusedAgent(headers, params['id'], agentOf) : { status: 403, message: route.off }
  const mayCall = route.access === 'public' || peer.kind === 'certificate' || (isOfAgents && !isSecure)
  const line = () => `${route.method} ${cutText(path, MAX_MESSAGE)}`
  if (!mayCall) return forbidden(line(), peer)
  if (ofOperators.has(route.access) && isVerifier(peer)) return forbidden(line(), { ...peer, kind: 'refused', why: ONLY_A_VERIFIER })
  return route.off === undefined ? null : { status: 403, message: route.off }
}

const ofOperators: ReadonlySet<Access> = new Set(['admin', 'operator'])
const ONLY_A_VERIFIER = 'its certificate is a verifier’s, and this is for operators'

/** Who has a certificate of ours is not counted: one address may be that of many operators. */
export function tooOften({ rate }: Route, peer: Peer, address: string | undefined, rates: RequestBounds['rates']): ApiReply | null {
  if (!rate || peer.kind === 'certificate') return null
  const limiter = rates.get(rate) ?? new RateLimiter(rate)
  rates.set(rate, limiter)
  const seconds = limiter.take(peerNetwork(address ?? ''), performance.now())
  if (seconds === 0) return null
  return { status: 429, message: `asked too often: try again in ${seconds} s`, headers: { 'Retry-After': String(seconds) } }
}

/** The one that asked, and the one that answered. */
const REQUESTS_OF_PROOF = 2

/** The requests by which a TPM has proved itself do not count, a few times: thousands of machines behind one address register as fast as they are served, and a flood of strangers does not. */
export function provedTpm({ rate }: Route, { tpm, peer, address }: Proof, { rates, ofTpm }: RequestBounds): void {
  const limiter = rate && rates.get(rate)
  if (!limiter || peer.kind === 'certificate' || ofTpm.take(tpm, performance.now()) > 0) return
  for (let i = 0; i < REQUESTS_OF_PROOF; i++) limiter.giveBack(peerNetwork(address ?? ''))
}

interface Proof {
  readonly tpm: string
  readonly peer: Peer
  readonly address: string | undefined
}

export const whyNot = (peer: Peer): string => ('why' in peer ? peer.why : 'it needs a client certificate from a trusted CA')

export function forbidden(action: string, peer: Peer): ApiReply {
  const why = 'why' in peer ? `: ${peer.why}` : ''
  const detail = `Action ${action} requires admin authentication (mTLS certificate)${why}`
  const body = JSON.stringify({ errors: [{ status: '403', title: 'Forbidden', detail }] })
  return { status: 403, raw: { type: 'application/json', body } }
}
