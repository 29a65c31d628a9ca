import type { OnReadOpts, Socket } from 'node:net'
import type { RawAnswer } from '../../core/api/envelope.ts'
import { AnswerReader, type AnswerRules } from './answer-reader.ts'

/** A request that was sent, and can be given up. */
export interface Exchange {
  /** The whole answer. Rejects with `payload_too_large`, with what it was cut off for, or with what the connection says. */
  readonly answer: Promise<RawAnswer>
  /** Gives it up: the connection is closed, and nothing more of the answer is read. */
  cutOff(reason: Error): void
}

/** Opens a connection that reads into `onread`. @param done once. */
export type OpenConnection = (onread: OnReadOpts, done: (error: Error | null, socket: Socket | null) => void) => void

/** The connection ended in the middle of a request. */
export class ConnectionEnded extends Error {
  readonly code: string
  /** It had answered before, and this request got no byte: it may have been closed while it was idle. */
  readonly wasIdle: boolean

  constructor(cause: NodeJS.ErrnoException | null, wasIdle: boolean) {
    super(cause?.message ?? 'the other side closed the connection', cause ? { cause } : {})
    this.code = cause?.code ?? 'ECONNRESET'
    this.wasIdle = wasIdle
  }
}

interface Entry {
  text: string
  /** The connection is closed after it. */
  isLast: boolean
  reader: AnswerReader
  resolve(answer: RawAnswer): void
  reject(error: Error): void
}

/** One socket, and what came of it. */
interface Line {
  socket: Socket
  answered: number
  /** The other side may close it after that (monotonic milliseconds). */
  keptUntil: number
}

/** What all connections read into: it is read out before the call ends. */
const MEMORY = Buffer.alloc(64 << 10)
/** A connection that the other side closes so soon is not used again. */
const MARGIN_MS = 1000

/**
 * A kept connection to one machine: requests go out one after the other, each when the one before was answered. It is opened when it is needed, and has no timers. Node's and undici's own clients have twice
 * its memory for each connection, and half as much work again for each request: with thousands of machines that is most of what the verifier needs (decision 122).
 */
export class AgentLine {
  readonly #open: OpenConnection
  readonly #waiting: Entry[] = []
  #current: Entry | null = null
  #line: Line | null = null
  #isOpening = false
  /** Nobody needs it, until somebody asks again. */
  #isOver = false

  constructor(open: OpenConnection) {
    this.#open = open
  }

  /** @param request text of head and body; `isLast` closes the connection after the answer. */
  send(request: { text: string; isLast: boolean }, rules: AnswerRules): Exchange {
    const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
    const entry: Entry = { ...request, reader: new AnswerReader(rules), resolve, reject }
    this.#waiting.push(entry)
    this.#isOver = false
    this.#next()
    return { answer: promise, cutOff: (reason) => this.#cutOff(entry, reason) }
  }

  /** The next request gets a new connection. */
  renew(): void {
    if (this.#current) this.#current.isLast = true
    else this.#drop()
  }

  /** The same, but only where nothing is under way. @returns whether it was done, or nothing was open. */
  renewIfIdle(): boolean {
    if (this.#current !== null || this.#isOpening) return false
    this.#drop()
    return true
  }

  /** Ends it, and whatever is under way, also a connection that is being made. */
  destroy(reason: Error): void {
    this.#isOver = true
    for (const entry of this.#waiting.splice(0)) entry.reject(reason)
    this.#fail(reason)
  }

  #next(): void {
    if (this.#current !== null || this.#isOpening) return
    this.#current = this.#waiting.shift() ?? null
    if (this.#current === null) return
    if (this.#line && performance.now() > this.#line.keptUntil) this.#drop()
    if (this.#line) this.#line.socket.write(this.#current.text)
    else this.#connect()
  }

  #connect(): void {
    this.#isOpening = true
    let line: Line | null = null
    const callback = (length: number) => {
      if (line !== null && line === this.#line) this.#came(MEMORY.subarray(0, length))
      return true
    }
    this.#open({ buffer: MEMORY, callback }, (error, socket) => {
      this.#isOpening = false
      if (socket === null) {
        if (this.#current) this.#fail(error ?? new Error('no connection'))
        return this.#next()
      }
      line = { socket, answered: 0, keptUntil: Number.POSITIVE_INFINITY }
      this.#line = line
      let failure: Error | null = null
      socket.on('error', (given) => {
        failure = given
      })
      socket.once('close', () => line === this.#line && this.#ended(failure))
      if (this.#current) return void socket.write(this.#current.text)
      this.#next() // it was given up meanwhile
      if (this.#isOver) this.#drop()
    })
  }

  #came(bytes: Buffer): void {
    const entry = this.#current
    if (entry === null) return void this.#drop() // nobody asked for it
    try {
      if (entry.reader.push(bytes)) this.#answered(entry)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #answered(entry: Entry): void {
    this.#current = null
    const line = this.#line
    if (entry.isLast || entry.reader.isLast || line === null) this.#drop()
    else {
      line.answered++
      const { keptMs } = entry.reader
      if (keptMs !== null) line.keptUntil = performance.now() + keptMs - MARGIN_MS
    }
    entry.resolve(entry.reader.answer())
    this.#next()
  }

  #ended(error: Error | null): void {
    const entry = this.#current
    const wasIdle = this.#line !== null && this.#line.answered > 0 && entry?.reader.hasBegun === false
    this.#line = null
    if (entry === null) return
    if (error === null && entry.reader.end()) return void this.#answered(entry)
    this.#fail(new ConnectionEnded(error, wasIdle))
  }

  #cutOff(entry: Entry, reason: Error): void {
    if (entry === this.#current) return void this.#fail(reason)
    const at = this.#waiting.indexOf(entry)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    entry.reject(reason)
  }

  #fail(reason: Error): void {
    const entry = this.#current
    this.#current = null
    this.#drop()
    entry?.reject(reason)
    this.#next()
  }

  #drop(): void {
    const line = this.#line
    this.#line = null
    line?.socket.destroy()
  }
}
