import type { Socket } from 'node:net'
import { Client } from 'undici'
import type { RawAnswer } from '../../core/api/envelope.ts'
import { hostPort, urlHostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import { type AnswerRoom, createAnswerRoom } from './answer-room.ts'
import { ConnectionBudget, type Place } from './connection-budget.ts'
import { dateTrouble } from './date-trouble.ts'
import { exchange } from './exchange.ts'
import { type ClientContext, type PinnedTarget, pinnedConnector } from './pinned-connector.ts'
import { ProvenSession } from './proven-session.ts'
import { transportError } from './transport-error.ts'

/** One request to an agent. */
export interface AgentRequest {
  method: 'GET' | 'POST'
  path: string
  body?: unknown
  /** Largest answer that is read. */
  maxBytes: number
}

/** A kept-alive connection to one agent, pinned to its certificate. */
export interface AgentConnection {
  /**
   * The answer as it came: what is in it may be anything, and large.
   * @throws KeylimeError `unreachable`, `timeout`, `tls_failed`; `payload_too_large` for an answer beyond `maxBytes`, `unavailable` when those of
   * many agents together were too large: then the connection is closed. `details.stale` is true when a connection that was idle turned out to be
   * closed before a byte of the answer came: ask again at once, with a new nonce. An agent that refuses the client certificate which the connection was
   * opened with is asked once more with the one that counts now.
   */
  request(request: AgentRequest): Promise<RawAnswer>
  /** The client certificate, PEM, that the open connection shows, or the next one will. */
  shown(): string | undefined
  close(): void
}

export interface AgentClientOptions {
  /** Client certificate shown to every agent; undefined for agents without TLS. */
  context: ClientContext | undefined
  /** Total time of one request, connection included. */
  timeoutSeconds: number
  /** Bytes: there is always room for one such answer. */
  largestAnswer: number
  /** So many connections are kept; beyond them one is closed after its answer. */
  maxConnections: number
}

/** Of all answers that are being read at the same time; more where one alone may have more. */
const ANSWER_ROOM_BYTES = 96 << 20
const SWEEP_MS = 1000
/**
 * An idle connection is kept for so long, unless the agent says or does otherwise. It is bounded by the number of connections, not by this: a time that is near the interval is overrun
 * whenever something holds up the verifier, and then every connection is made anew, which holds it up even more.
 */
const KEPT_MS = 3_600_000

interface Pending {
  deadline: number
  cutOff(reason: Error): void
}

/** What became of connections to agents. */
export interface ConnectionFigures {
  /** Open now. */
  open: number
  /** Opened so far: each takes a handshake. */
  opened: number
  /** Of these, those that resumed a session, for half the price. */
  resumed: number
}

/** The verifier's only way to agents (decision 34): the seam behind which the transport can change. */
export interface AgentClient {
  /** @param context what this connection shows, in place of what all others do. */
  connect(target: PinnedTarget, context?: ClientContext): AgentConnection
  readonly figures: Readonly<ConnectionFigures>
  close(): void
}

/** Deadlines are swept once a second for all requests together: no timer per request. */
export function createAgentClient(options: AgentClientOptions): AgentClient {
  const pending = new Set<Pending>()
  const figures = { open: 0, opened: 0, resumed: 0 }
  const budget = new ConnectionBudget(options.maxConnections)
  const room = createAnswerRoom(Math.max(ANSWER_ROOM_BYTES, options.largestAnswer))
  let swept = performance.now()
  const sweep = setInterval(() => {
    const now = performance.now()
    const heldUp = now - swept - SWEEP_MS
    swept = now
    if (heldUp > SWEEP_MS) for (const request of pending) request.deadline += heldUp // nobody read what came meanwhile
    for (const request of pending) if (request.deadline < now) request.cutOff(new KeylimeError('timeout', 'no answer in time'))
  }, SWEEP_MS)
  sweep.unref()
  return {
    connect: (target, context = options.context) => connection(target, { ...options, context }, { pending, room, figures, budget }),
    figures,
    close: () => clearInterval(sweep),
  }
}

/** What all connections of a client have together. */
interface Together {
  pending: Set<Pending>
  room: AnswerRoom
  figures: ConnectionFigures
  budget: ConnectionBudget
}

function connection(target: PinnedTarget, options: AgentClientOptions, { pending, room, figures, budget }: Together): AgentConnection {
  const address = hostPort(target.host, target.port)
  const where = `agent at ${address}`
  const connector = pinnedConnector(target, {
    context: options.context,
    timeoutMs: options.timeoutSeconds * 1000,
    sessions: new ProvenSession(),
    resumed: () => figures.resumed++,
  })
  /** Of the connection that is open, or is being opened; null for one that is not kept. */
  let kept: Place | null = null
  function leave(place: Place | null): void {
    place?.release()
    if (place === kept) kept = null
  }
  let shown = options.context?.cert
  const open = () =>
    new Client(`${target.pin === null ? 'http' : 'https'}://${urlHostPort(target.host, target.port)}`, {
      connect: (asked, callback) => {
        shown = options.context?.cert
        const place = kept
        connector(asked, (...found) => {
          const [, socket] = found
          if (socket) count(figures, socket, () => leave(place))
          else leave(place)
          callback(...found)
        })
      },
      keepAliveTimeout: KEPT_MS,
      keepAliveMaxTimeout: KEPT_MS,
      headersTimeout: 0, // the sweep bounds the whole request
      bodyTimeout: 0,
      pipelining: 1,
    })
  let client = open()
  let answered = 0
  async function ask({ method, path, body, maxBytes }: AgentRequest): Promise<RawAnswer> {
    const reused = answered > 0
    const text = body === undefined ? null : JSON.stringify(body)
    kept ??= budget.take()
    const request = { method, path, headers: text === null ? ASKS : BRINGS, body: text, reset: kept === null }
    const sent = exchange(client, request, { maxBytes, arrived: (bytes) => place.grow(bytes) })
    const place = room.enter(sent.cutOff)
    const entry = { deadline: performance.now() + options.timeoutSeconds * 1000, cutOff: sent.cutOff }
    pending.add(entry)
    try {
      const answer = await sent.answer
      answered++
      return answer
    } catch (error) {
      const ofDates = await dateTrouble(error, { where, cert: options.context?.cert }, systemClock.now())
      const mapped = ofDates ?? transportError(error, where)
      const stale = reused && isClosedSocket(error)
      throw stale ? new KeylimeError(mapped.code, mapped.message, { cause: error, details: { stale } }) : mapped
    } finally {
      pending.delete(entry)
      place.leave()
    }
  }
  return {
    async request(asked) {
      const answer = await ask(asked)
      const isOtherNow = shown !== options.context?.cert // a connection goes on showing the certificate that it was opened with
      if (!isOtherNow || !REFUSALS.has(answer.status)) return answer
      client.close().catch(() => undefined) // when what is under way has ended
      kept = null // given back when it is closed
      client = open()
      answered = 0
      return ask(asked)
    },
    shown: () => shown,
    close() {
      leave(kept)
      void client.destroy()
    },
  }
}

function count(figures: ConnectionFigures, socket: Socket, closed: () => void): void {
  figures.open++
  figures.opened++
  socket.once('close', () => {
    figures.open--
    closed()
  })
}

const ASKS = { accept: 'application/json' }
const BRINGS = { ...ASKS, 'content-type': 'application/json' }

/** Who is not believed is refused with these before anything of the request is looked at. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403])

const isClosedSocket = (error: unknown) =>
  ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(String((error as NodeJS.ErrnoException)?.code))
