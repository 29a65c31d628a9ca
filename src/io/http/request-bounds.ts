import { type RateLimit, RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { type BodyRoom, createBodyRoom } from './body-room.ts'
import type { Peer, Route } from './route.ts'
import { createRouter } from './router.ts'

/** What bodies may have together beyond the first 64 KiB of each: nobody without a certificate takes room from those who have one. */
export interface BodyRoomBytes {
  anonymous: number
  certified: number
  /** Of agents with a token, and of each alone. Default: none of them has large ones. */
  agents?: { all: number; each: number }
}

export interface BoundsOptions {
  routes: readonly Route[]
  versions: readonly string[]
  bodyRoomBytes?: BodyRoomBytes
}

const SMALL_ROOM: BodyRoomBytes = { anonymous: 4 << 20, certified: 4 << 20 }
const MAX_OPEN_BODIES = 256
/** Of peers without a certificate. */
const MAX_OPEN_BODIES_OF_PEER = 32
/** Agents come all at once after an outage. */
const MAX_OPEN_BODIES_OF_AGENTS = 4096

/** A machine registers when it starts, and a few times more when something goes wrong: whoever has one TPM, and comes again and again with it, gives back no more. */
const OF_TPM: RateLimit = { ofPeer: { perSecond: 1 / 60, burst: 4 }, ofAll: { perSecond: 1000, burst: 20_000 } }
const MAX_TPMS = 65_536

/** What requests of one listener share. */
export interface RequestBounds {
  route: ReturnType<typeof createRouter>
  anonymous: BodyRoom
  certified: BodyRoom
  agents: BodyRoom
  rates: Map<RateLimit, RateLimiter>
  /** What a TPM gives back of its requests. */
  ofTpm: RateLimiter
}

export const requestBounds = ({ routes, versions, bodyRoomBytes = SMALL_ROOM }: BoundsOptions): RequestBounds => ({
  route: createRouter(routes, versions),
  anonymous: createBodyRoom({
    maxBytes: bodyRoomBytes.anonymous,
    maxBytesOfPeer: Math.ceil(bodyRoomBytes.anonymous / 2),
    maxOpen: MAX_OPEN_BODIES,
    maxOpenOfPeer: MAX_OPEN_BODIES_OF_PEER,
  }),
  certified: createBodyRoom({
    maxBytes: bodyRoomBytes.certified,
    maxBytesOfPeer: bodyRoomBytes.certified,
    maxOpen: MAX_OPEN_BODIES,
    maxOpenOfPeer: MAX_OPEN_BODIES,
  }),
  agents: createBodyRoom({
    maxBytes: bodyRoomBytes.agents?.all ?? 0,
    maxBytesOfPeer: bodyRoomBytes.agents?.each ?? 0,
    maxOpen: MAX_OPEN_BODIES_OF_AGENTS,
    maxOpenOfPeer: 2,
  }),
  rates: new Map(),
  ofTpm: new RateLimiter(OF_TPM, MAX_TPMS),
})

export const roomOf = ({ access }: Route, peer: Peer, bounds: RequestBounds): BodyRoom =>
  access === 'agent' ? bounds.agents : peer.kind === 'certificate' ? bounds.certified : bounds.anonymous
