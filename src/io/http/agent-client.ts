import type { Socket } from 'node:net'
import type { RawAnswer } from '../../core/api/envelope.ts'
import { hostPort, urlHostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import { AgentLine, ConnectionEnded } from './agent-line.ts'
import { type AnswerRoom, createAnswerRoom } from './answer-room.ts'
import { ConnectionBudget, type Place } from './connection-budget.ts'
import { dateTrouble } from './date-trouble.ts'
import { type ClientContext, type PinnedTarget, pinnedConnection } from './pinned-connector.ts'
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
  /**
   * So many connections are kept, for as long as the agents keep them; beyond them one is closed after its answer. A time that is near the interval would be overrun whenever something holds
   * up the verifier, and then every connection be made anew, which holds it up even more.
   */
  maxConnections: number
}

/** Of all answers that are being read at the same time; more where one alone may have more. */
const ANSWER_ROOM_BYTES = 96 << 20
const SWEEP_MS = 1000

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
    const passed = now - swept
    swept = now
    if (passed > 2 * SWEEP_MS) for (const request of pending) request.deadline += passed // it was held up: nobody read what came meanwhile
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
  const connect = pinnedConnection(target, {
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
  const line = new AgentLine((onread, done) => {
    shown = options.context?.cert
    const place = kept
    connect(onread, (error, socket) => {
      if (socket) count(figures, socket, () => leave(place))
      else leave(place)
      done(error, socket)
    })
  })
  const head = headOf(target)
  async function ask({ method, path, body, maxBytes }: AgentRequest): Promise<RawAnswer> {
    kept ??= budget.take()
    const isLast = kept === null
    const sent = line.send({ text: head({ method, path, body, isLast }), isLast }, { maxBytes, arrived: (bytes) => place.grow(bytes) })
    const place = room.enter(sent.cutOff)
    const entry = { deadline: performance.now() + options.timeoutSeconds * 1000, cutOff: sent.cutOff }
    pending.add(entry)
    try {
      return await sent.answer
    } catch (error) {
      const ofDates = await dateTrouble(error, { where, cert: options.context?.cert }, systemClock.now())
      const mapped = ofDates ?? transportError(error, where)
      const stale = error instanceof ConnectionEnded && error.wasIdle
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
      kept = null // given back when it is closed
      line.renew()
      return ask(asked)
    },
    shown: () => shown,
    close() {
      leave(kept)
      line.destroy(new KeylimeError('unavailable', `the connection to the ${where} was closed here`))
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

interface Asked extends Pick<AgentRequest, 'method' | 'path' | 'body'> {
  isLast: boolean
}

/** A request as it is sent. @throws KeylimeError `invalid_request` for a path that would be more than one line. */
function headOf({ host, port }: PinnedTarget): (asked: Asked) => string {
  const address = urlHostPort(host, port)
  return ({ method, path, body, isLast }) => {
    if (!PATH.test(path)) throw new KeylimeError('invalid_request', 'the path of a request has characters that it may not have')
    const text = body === undefined ? '' : JSON.stringify(body)
    const brings = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n`
    const connection = isLast ? 'close' : 'keep-alive'
    return `${method} ${path} HTTP/1.1\r\nhost: ${address}\r\nconnection: ${connection}\r\naccept: application/json\r\n${brings}\r\n${text}`
  }
}

const PATH = /^\/[\x21-\x7e]*$/

/** Who is not believed is refused with these before anything of the request is looked at. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403])
