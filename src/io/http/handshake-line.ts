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
/** What comes meanwhile is read into memory, and can be no more than a ClientHello. */
const MOST_BYTES = 8 << 10

/** The connections of one network. */
type Line = Map<Socket, Waiting>

interface Waiting {
  readonly since: number
  /** Takes its listeners away. */
  release(): void
}

/**
 * Thousands of machines behind one address come back in the same moment after an outage. Who is sent away then comes again after a pause that has nothing to do with when there is room;
 * who waits is served as soon as there is. Networks take turns, and within one who came first is first.
 */
export function createHandshakeLine(options: HandshakeLineOptions): HandshakeLine {
  const { admits, begin, places = PLACES, now = () => performance.now() } = options
  const lines = new Map<string, Line>()
  let waiting = 0
  let timer: NodeJS.Timeout | undefined

  function leave(network: string, line: Line, socket: Socket): void {
    line.get(socket)?.release()
    if (!line.delete(socket)) return
    waiting--
    if (line.size === 0) lines.delete(network)
  }

  /** The longest line gives its last place to a shorter one: two networks cannot have all of them. */
  function makesRoom(length: number): boolean {
    let [longest]: Iterable<[string, Line]> = lines
    for (const each of lines) if (each[1].size > longest![1].size) longest = each
    if (!longest || longest[1].size <= length + 1) return false
    const [network, line] = longest
    const last = [...line.keys()].at(-1)!
    leave(network, line, last)
    last.destroy()
    return true
  }

  /** @returns how many of `most` have begun. */
  function advance(network: string, line: Line, most: number): number {
    let begun = 0
    for (const [socket, { since }] of line) {
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
      const line: Line = lines.get(network) ?? new Map()
      if (line.size >= places.ofNetwork || (waiting >= places.ofAll && !makesRoom(line.size))) return false
      lines.set(network, line)
      line.set(socket, { since: now(), release: listen(socket, () => leave(network, line, socket)) })
      waiting++
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

/** @param onGone it ended while it waits. @returns what ends the listening. */
function listen(socket: Socket, onGone: () => void): () => void {
  const onReadable = () => {
    if (socket.readableLength > MOST_BYTES) socket.destroy()
  }
  socket.on('error', ignored).on('close', onGone).on('readable', onReadable)
  return () => socket.off('error', ignored).off('close', onGone).off('readable', onReadable)
}

const ignored = (): void => {}
