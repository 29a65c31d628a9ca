import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Logger } from '../log/logger.ts'
import type { BodyRoomBytes } from './request-bounds.ts'
import type { ApiReply, Peer, Route } from './route.ts'
import type { Routing } from './router.ts'

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
