import type { Socket } from 'node:net'

/** New connections that wait for their turn, unread: a place costs a descriptor and some kilobytes. */
export interface HandshakeLine {
  /** Whoever comes now from a network of which others wait is behind them. */
  has(network: string): boolean
  /** @returns false, and it has no place, when too many wait. */
  join(network: string, socket: Socket): boolean
  /** Sends away all that wait. */
  close(): void
}

export interface HandshakeLineOptions {
  /** Whether it is the turn of this connection; asked for the first of each network. */
  admits(socket: Socket): boolean
  begin(socket: Socket): void
  /** Of one network, and of all. */
  places?: { ofNetwork: number; ofAll: number }
  /** Monotonic milliseconds. */
  now?: () => number
}

/** A fleet behind one address. */
const PLACES = { ofNetwork: 12_000, ofAll: 16_000 }
const TICK_MS = 20
/** Begun at one tick, so that no turn of the event loop is long. */
const MOST_AT_ONCE = 32
/** Networks that are looked at in one tick. */
const MOST_NETWORKS = 256
/** Whoever waits longer has given up, or will. */
const LONGEST_MS = 60_000

/**
 * Thousands of machines behind one address come back in the same moment after an outage. Who is sent away then comes again after a pause that has nothing to do with when there is room;
 * who waits is served as soon as there is. Networks take turns, and within one who came first is first.
 */
export function createHandshakeLine(options: HandshakeLineOptions): HandshakeLine {
  const { admits, begin, places = PLACES, now = () => performance.now() } = options
  /** By network, with the time since when each waits. */
  const lines = new Map<string, Map<Socket, number>>()
  let waiting = 0
  let timer: NodeJS.Timeout | undefined

  function leave(network: string, line: Map<Socket, number>, socket: Socket): void {
    socket.off('error', ignored)
    line.delete(socket)
    waiting--
    if (line.size === 0) lines.delete(network)
  }

  /** @returns how many of `most` have begun. */
  function advance(network: string, line: Map<Socket, number>, most: number): number {
    let begun = 0
    for (const [socket, since] of line) {
      const isLate = now() - since > LONGEST_MS
      if (isLate) socket.destroy()
      else if (!socket.destroyed && (begun === most || !admits(socket))) break
      leave(network, line, socket)
      if (socket.destroyed) continue
      begin(socket)
      begun++
    }
    return begun
  }

  function toTheEnd(network: string): void {
    const line = lines.get(network)!
    lines.delete(network)
    lines.set(network, line)
  }

  function tick(): void {
    let left = MOST_AT_ONCE
    const served: string[] = []
    const passedOver: string[] = []
    for (const [network, line] of [...lines].slice(0, MOST_NETWORKS)) {
      const begun = advance(network, line, left)
      left -= begun
      if (line.size > 0) (begun > 0 ? served : passedOver).push(network)
    }
    for (const network of [...passedOver, ...served]) toTheEnd(network)
    if (waiting > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    has: (network) => lines.has(network),
    join(network, socket) {
      const line = lines.get(network) ?? new Map<Socket, number>()
      if (waiting >= places.ofAll || line.size >= places.ofNetwork) return false
      lines.set(network, line)
      line.set(socket, now())
      waiting++
      socket.on('error', ignored)
      timer ??= setInterval(tick, TICK_MS)
      return true
    },
    close() {
      for (const [network, line] of lines)
        for (const socket of line.keys()) {
          leave(network, line, socket)
          socket.destroy()
        }
      clearInterval(timer)
      timer = undefined
    },
  }
}

/** Of a connection that ends while it waits. */
const ignored = (): void => {}
