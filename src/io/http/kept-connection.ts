import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { RawAnswer } from '../../core/api/envelope.ts'
import { hostPort, urlHostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import type { AgentConnection, AgentRequest, ConnectionFigures } from './agent-connection.ts'
import { AgentLine, ConnectionEnded, type OpenConnection } from './agent-line.ts'
import type { AnswerRoom } from './answer-room.ts'
import type { BulkyConnections, Renewable } from './bulky-connections.ts'
import type { ConnectionBudget, Place } from './connection-budget.ts'
import { dateTrouble } from './date-trouble.ts'
import { type ClientContext, type PinnedTarget, pinnedConnection } from './pinned-connector.ts'
import { ProvenSession } from './proven-session.ts'
import { transportError } from './transport-error.ts'

export interface PendingRequest {
  /** Monotonic milliseconds. */
  deadline: number
  cutOff(reason: Error): void
}

/** What all connections of a client have together. */
export interface Together {
  readonly pending: Set<PendingRequest>
  readonly room: AnswerRoom
  readonly figures: ConnectionFigures
  readonly budget: ConnectionBudget
  readonly bulky: BulkyConnections
}

export interface KeptConnectionOptions {
  readonly context: ClientContext | undefined
  /** Of one request, connection included. */
  readonly timeoutMs: number
}

/** What a connection had to take at once stays with it. */
const LARGE_ANSWER = 16 << 10
/** So many times the one before: a machine whose answers are always large needs its buffer, and would have a new connection for each. */
const MUCH_LARGER = 4
/** Who is not believed is refused with these before anything of the request is looked at. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403])
const PATH = /^\/[\x21-\x7e]*$/

/** The connection to one machine; thousands of them are kept. */
export class KeptConnection implements AgentConnection, Renewable {
  readonly #target: PinnedTarget
  readonly #options: KeptConnectionOptions
  readonly #together: Together
  readonly #sessions = new ProvenSession()
  readonly #line: AgentLine
  /** Of the connection that is open, or is being opened; null for one that is not kept. */
  #place: Place | null = null
  #shown: string | undefined
  /** Bytes of the answer before. */
  #before = 0

  constructor(target: PinnedTarget, options: KeptConnectionOptions, together: Together) {
    this.#target = target
    this.#options = options
    this.#together = together
    this.#shown = options.context?.cert
    const connect = pinnedConnection(target, { ...options, sessions: this.#sessions, resumed: () => together.figures.resumed++ })
    this.#line = new AgentLine((onread, done) => this.#open(connect, onread, done))
  }

  async request(asked: AgentRequest): Promise<RawAnswer> {
    const answer = await this.#ask(asked)
    const isOtherNow = this.#shown !== this.#options.context?.cert // a connection goes on showing the certificate that it was opened with
    if (!isOtherNow || !REFUSALS.has(answer.status)) return answer
    this.#place = null // given back when it is closed
    this.#line.renew()
    return this.#ask(asked)
  }

  shown(): string | undefined {
    return this.#shown
  }

  renew(): 'done' | 'busy' | 'never' {
    if (!this.#sessions.offer(this.#options.context?.current, performance.now())) return 'never'
    return this.#line.renewIfIdle() ? 'done' : 'busy'
  }

  close(): void {
    this.#leave(this.#place)
    this.#together.bulky.delete(this)
    this.#line.destroy(new KeylimeError('unavailable', `the connection to the ${this.#where()} was closed here`))
  }

  #where(): string {
    return `agent at ${hostPort(this.#target.host, this.#target.port)}`
  }

  #leave(place: Place | null): void {
    place?.release()
    if (place === this.#place) this.#place = null
  }

  #open(connect: OpenConnection, ...[onread, done]: Parameters<OpenConnection>): void {
    this.#shown = this.#options.context?.cert
    const place = this.#place
    connect(onread, (error, socket) => {
      if (socket) this.#opened(socket, place)
      else this.#leave(place)
      done(error, socket)
    })
  }

  #opened(socket: Socket, place: Place | null): void {
    const { figures, bulky } = this.#together
    figures.open++
    figures.opened++
    socket.once('close', () => {
      figures.open--
      this.#leave(place)
    })
    if (socket instanceof TLSSocket && !socket.isSessionReused()) bulky.add(this, performance.now())
  }

  async #ask(asked: AgentRequest): Promise<RawAnswer> {
    const { budget, room, pending, bulky } = this.#together
    this.#place ??= budget.take()
    const isLast = this.#place === null
    const request = { text: this.#text(asked, isLast), isLast }
    const sent = this.#line.send(request, { maxBytes: asked.maxBytes, arrived: (bytes) => place.grow(bytes) })
    const place = room.enter(sent.cutOff)
    const entry = { deadline: performance.now() + this.#options.timeoutMs, cutOff: sent.cutOff }
    pending.add(entry)
    try {
      const answer = await sent.answer
      const { length } = answer.body
      if (length > LARGE_ANSWER && length > MUCH_LARGER * this.#before && this.#target.pin !== null) bulky.add(this, performance.now())
      this.#before = length
      return answer
    } catch (error) {
      throw await this.#errorOf(error)
    } finally {
      pending.delete(entry)
      place.leave()
    }
  }

  async #errorOf(error: unknown): Promise<Error> {
    const where = this.#where()
    const ofDates = await dateTrouble(error, { where, cert: this.#options.context?.cert }, systemClock.now())
    const mapped = ofDates ?? transportError(error, where)
    const stale = error instanceof ConnectionEnded && error.wasIdle
    return stale ? new KeylimeError(mapped.code, mapped.message, { cause: error, details: { stale } }) : mapped
  }

  /** A request as it is sent. @throws KeylimeError `invalid_request` for a path that would be more than one line. */
  #text({ method, path, body }: AgentRequest, isLast: boolean): string {
    if (!PATH.test(path)) throw new KeylimeError('invalid_request', 'the path of a request has characters that it may not have')
    const text = body === undefined ? '' : JSON.stringify(body)
    const brings = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n`
    const host = urlHostPort(this.#target.host, this.#target.port)
    const connection = isLast ? 'close' : 'keep-alive'
    return `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: ${connection}\r\naccept: application/json\r\n${brings}\r\n${text}`
  }
}
