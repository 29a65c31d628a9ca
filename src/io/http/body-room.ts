import { KeylimeError } from '../../core/errors.ts'

/** Bounds what the bodies of requests have together. Bytes are counted as they arrive: who only announces many holds nothing. */
export interface BodyRoom {
  /**
   * A body begins. When this peer, or all together, have too many unfinished ones, the one that has been so for longest is cut off: honest ones come at
   * once. @param cutOff ends its reading.
   */
  enter(peer: string, cutOff: (reason: KeylimeError) => void): BodyPlace
}

export interface BodyPlace {
  /**
   * Where all have too much, who has been sending for long makes room: a few that send slowly must not keep the others out.
   * @throws KeylimeError `too_many_requests` when this peer has too much, `unavailable` when all have.
   */
  grow(bytes: number): void
  /** All of it is there. Its bytes are counted on while it is worked on. */
  arrived(): void
  leave(): void
}

export interface BodyRoomLimits {
  /** Bytes of all bodies beyond the first `FREE_BYTES` of each. */
  maxBytes: number
  maxBytesOfPeer: number
  /** Unfinished bodies. */
  maxOpen: number
  maxOpenOfPeer: number
}

/** What a body may have without a place in the sum: small requests go on while large ones fill it. Their number is bounded. */
export const FREE_BYTES = 64 << 10
/** Milliseconds in which a body keeps its room whoever else comes. */
export const SHORT_WAY_MS = 10_000

interface Held {
  readonly peer: Peer
  /** Monotonic milliseconds. */
  readonly since: number
  bytes: number
  cutOff(reason: KeylimeError): void
}

interface Peer {
  readonly name: string
  places: number
  /** In the order in which they began. */
  readonly open: Set<Held>
  counted: number
}

/** @param now monotonic milliseconds. */
export function createBodyRoom(limits: BodyRoomLimits, now: () => number = () => performance.now()): BodyRoom {
  const peers = new Map<string, Peer>()
  /** In the order in which they began. */
  const open = new Set<Held>()
  let counted = 0

  function enter(name: string, cutOff: Held['cutOff']): BodyPlace {
    const peer = peers.get(name) ?? { name, places: 0, open: new Set(), counted: 0 }
    peers.set(name, peer)
    peer.places++ // before anything is cut off: the peer must stay known
    if (peer.open.size >= limits.maxOpenOfPeer) cutOffOldest(peer.open, 'of your address')
    if (open.size >= limits.maxOpen) cutOffOldest(open, 'of all')
    const held: Held = { peer, since: now(), bytes: 0, cutOff }
    open.add(held)
    peer.open.add(held)
    let isHere = true
    return {
      grow: (bytes) => grow(held, bytes),
      arrived: () => close(held),
      leave() {
        if (isHere) leave(held)
        isHere = false
      },
    }
  }

  function grow(held: Held, bytes: number): void {
    const before = Math.max(0, held.bytes - FREE_BYTES)
    const more = Math.max(0, held.bytes + bytes - FREE_BYTES) - before
    if (held.peer.counted + more > limits.maxBytesOfPeer)
      throw new KeylimeError(
        'too_many_requests',
        'the requests from your address have too many bytes together: send them one after the other',
      )
    makeRoom(held, more)
    if (counted + more > limits.maxBytes)
      throw new KeylimeError('unavailable', 'the requests of all have too many bytes together: try again in a moment')
    held.bytes += bytes
    held.peer.counted += more
    counted += more
  }

  function makeRoom(held: Held, bytes: number): void {
    for (const other of open) {
      if (counted + bytes <= limits.maxBytes || now() - other.since < SHORT_WAY_MS) return
      if (other === held || other.bytes <= FREE_BYTES) continue
      close(other)
      other.cutOff(new KeylimeError('unavailable', 'the requests of all have too many bytes together, and this one is slow'))
    }
  }

  function close(held: Held): void {
    open.delete(held)
    held.peer.open.delete(held)
  }

  function leave(held: Held): void {
    close(held)
    const { peer } = held
    const own = Math.max(0, held.bytes - FREE_BYTES)
    counted -= own
    peer.counted -= own
    if (--peer.places === 0) peers.delete(peer.name)
  }

  function cutOffOldest([oldest]: Iterable<Held>, whose: string): void {
    if (!oldest) return
    close(oldest)
    const text = `too many requests ${whose} have not sent all of their bodies yet, and this one has taken longest`
    oldest.cutOff(new KeylimeError('too_many_requests', text))
  }

  return { enter }
}
