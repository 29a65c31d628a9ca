import type { Socket } from 'node:net'
import { type RateLimit, RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { peerNetwork } from './peer-network.ts'

/** Of networks that never proved a certificate, one by one and all together. */
const STRANGERS: RateLimit = { ofPeer: { perSecond: 50, burst: 500 }, ofAll: { perSecond: 200, burst: 2000 } }

/** Of networks that did. Their sum is what a machine can serve: it bounds an attacker who sits beside many honest peers. */
const KNOWN: RateLimit = { ofPeer: STRANGERS.ofPeer, ofAll: { perSecond: 1000, burst: 5000 } }

/** Of one machine: what it gives back of its connections. */
const OF_MACHINE: RateLimit = { ofPeer: { perSecond: 0.2, burst: 4 }, ofAll: { perSecond: 1000, burst: 20_000 } }
const MAX_MACHINES = 65_536

/** Networks that are remembered as known. Whoever is forgotten is a stranger again. */
const MAX_KNOWN = 4096

export interface HandshakeRates {
  /** Of networks that never proved a certificate. */
  strangers?: RateLimit
  known?: RateLimit
  /** Networks that are remembered as known. */
  maxKnown?: number
}

/**
 * How many new connections a server takes. A TLS handshake costs more than most requests, and comes before any other bound. Networks from which a
 * certificate of ours was proved have a share of their own, so that a flood from many addresses does not shut out operators and machines.
 */
export class HandshakeLimit {
  readonly #strangers: RateLimiter
  readonly #known: RateLimiter
  readonly #byProof = new RateLimiter(OF_MACHINE, MAX_MACHINES)
  /** Of its own: who stole a token takes nothing from its machine. */
  readonly #byToken = new RateLimiter(OF_MACHINE, MAX_MACHINES)
  readonly #maxKnown: number
  /** Connections that do not count any more. */
  readonly #machines = new WeakSet<Socket>()
  /** Least recently proved first. */
  readonly #networks = new Set<string>()

  constructor({ strangers = STRANGERS, known = KNOWN, maxKnown = MAX_KNOWN }: HandshakeRates = {}) {
    this.#strangers = new RateLimiter(strangers)
    this.#known = new RateLimiter(known)
    this.#maxKnown = maxKnown
  }

  /** @param nowMs of a monotonic clock. */
  admits(socket: Socket, nowMs: number): boolean {
    const network = networkOf(socket)
    return this.#limiterOf(network).take(network, nowMs) === 0
  }

  /** Whether one that was not admitted may wait: its network has had its share, and there is room for others. In a flood from many networks nobody waits. */
  mayWait(socket: Socket): boolean {
    return this.#limiterOf(networkOf(socket)).hasRoom
  }

  /**
   * A machine on this connection has proved its key: the connection does not count, once. So thousands of them behind one address come back as fast as they are served. Its network stays
   * what it was. One that comes again and again, with whatever proofs, gives back no more than it needs. @param nowMs of a monotonic clock.
   */
  provedMachine(socket: Socket, agentId: string, nowMs: number): void {
    this.#giveBack(socket, this.#byProof, agentId, nowMs)
  }

  /** The same for one that shows a token: connections that were cut come back with the tokens that they had. @param nowMs of a monotonic clock. */
  cameWithToken(socket: Socket, agentId: string, nowMs: number): void {
    this.#giveBack(socket, this.#byToken, agentId, nowMs)
  }

  #giveBack(socket: Socket, limiter: RateLimiter, agentId: string, nowMs: number): void {
    if (this.#machines.has(socket) || limiter.take(agentId, nowMs) > 0) return
    this.#machines.add(socket)
    const network = networkOf(socket)
    this.#limiterOf(network).giveBack(network)
  }

  #limiterOf(network: string): RateLimiter {
    return this.#networks.has(network) ? this.#known : this.#strangers
  }

  /** A peer on this connection has proved a certificate of ours. */
  proved(socket: Socket): void {
    const network = networkOf(socket)
    this.#networks.delete(network)
    this.#networks.add(network)
    if (this.#networks.size > this.#maxKnown) this.#networks.delete(this.#networks.values().next().value!)
  }
}

export const networkOf = (socket: Socket): string => peerNetwork(socket.remoteAddress ?? '')
