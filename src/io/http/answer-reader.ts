import type { RawAnswer } from '../../core/api/envelope.ts'
import { KeylimeError } from '../../core/errors.ts'
import { ByteCollector } from './byte-collector.ts'

export interface AnswerRules {
  /** Of the answer; of one that announces or has more nothing beyond them is read. */
  readonly maxBytes: number
  /** Is told of bytes as they come. */
  arrived(bytes: number): void
}

/** Of all headers together; and again of all that comes beside an answer: words that one will follow, and what stands behind its last chunk. */
const MAX_HEAD = 16 << 10
/** A line that begins a chunk: its length, and what may follow it. */
const MAX_CHUNK_LINE = 256
const MAX_CHUNK_DIGITS = 8
const END_OF_HEAD = Buffer.from('\r\n\r\n')
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d{2})(?: [^\r\n]*)?$/
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const CHUNK_LINE = /^([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?$/

/** What comes next of the body. `close`: all until the connection ends. */
type Body =
  | { kind: 'length'; left: number }
  | { kind: 'chunk-line' }
  | { kind: 'chunk'; left: number }
  | { kind: 'chunk-end' }
  | { kind: 'trailer' }
  | { kind: 'close' }
  | { kind: 'done' }

interface Head {
  status: number
  isClosed: boolean
  keptMs: number | null
  body: Body
}

/**
 * Reads one answer of HTTP/1.1 (RFC 9112) from the bytes of a connection, however they are cut. Strict: what two readers could understand in two ways is an error, and the connection
 * is not used again.
 */
export class AnswerReader {
  readonly #rules: AnswerRules
  readonly #collected: ByteCollector
  #waiting: Buffer = Buffer.alloc(0)
  #head: Head | null = null
  #body: Body | null = null
  #beside = 0

  constructor(rules: AnswerRules) {
    this.#rules = rules
    this.#collected = new ByteCollector(rules.maxBytes)
  }

  /** A byte of it has come. */
  get hasBegun(): boolean {
    return this.#head !== null || this.#waiting.length > 0
  }

  /** The connection may not be used again after it. */
  get isLast(): boolean {
    return this.#head?.isClosed ?? true
  }

  /** For how long the other side keeps an idle connection, as it says; null when it does not. */
  get keptMs(): number | null {
    return this.#head?.keptMs ?? null
  }

  /** @param bytes belong to the caller again when it returns. @returns whether the answer is whole. @throws KeylimeError or an error with a code for what is no answer, too much, or more than one. */
  push(bytes: Buffer): boolean {
    let rest = this.#waiting.length === 0 ? bytes : Buffer.concat([this.#waiting, bytes])
    this.#waiting = EMPTY
    while (rest.length > 0) {
      if (this.#body?.kind === 'done') throw notHttp('more came than was announced')
      const used = this.#body === null ? this.#readHead(rest) : this.#readBody(rest)
      if (used === 0) {
        this.#waiting = Buffer.from(rest)
        break
      }
      rest = rest.subarray(used)
    }
    return this.#body?.kind === 'done'
  }

  /** The connection has ended. @returns whether that made the answer whole. */
  end(): boolean {
    return this.#body?.kind === 'close'
  }

  answer(): RawAnswer {
    return { status: this.#head!.status, body: this.#collected.bytes() }
  }

  #readHead(rest: Buffer): number {
    const end = rest.indexOf(END_OF_HEAD)
    if ((end < 0 ? rest.length : end) > MAX_HEAD) throw notHttp('its headers are too long')
    if (end < 0) {
      if (!'HTTP/1.'.startsWith(rest.toString('latin1', 0, Math.min(7, rest.length)))) throw notHttp('it is not an answer')
      return 0
    }
    const head = readHead(rest.toString('latin1', 0, end))
    if (head.status < 200) return this.#skip(end + END_OF_HEAD.length) // only says that an answer will follow
    if (head.body.kind === 'length' && head.body.left > this.#rules.maxBytes) throw tooLarge(this.#rules.maxBytes)
    this.#head = head
    this.#body = head.body.kind === 'length' && head.body.left === 0 ? { kind: 'done' } : head.body
    return end + END_OF_HEAD.length
  }

  #readBody(rest: Buffer): number {
    const body = this.#body!
    switch (body.kind) {
      case 'length':
      case 'chunk':
        return this.#take(rest, body)
      case 'close':
        return this.#add(rest)
      case 'chunk-end':
        if (rest.length < 2) return 0
        if (rest[0] !== CR || rest[1] !== LF) throw notHttp('a chunk is longer than it says')
        this.#body = { kind: 'chunk-line' }
        return 2
      default:
        return this.#readLine(rest)
    }
  }

  /** What does not count as answer must not come without end. */
  #skip(count: number): number {
    this.#beside += count
    if (this.#beside > MAX_HEAD) throw notHttp('too much comes beside it')
    return count
  }

  #take(rest: Buffer, body: { kind: 'length' | 'chunk'; left: number }): number {
    const count = Math.min(rest.length, body.left)
    this.#add(rest.subarray(0, count))
    body.left -= count
    if (body.left === 0) this.#body = body.kind === 'length' ? { kind: 'done' } : { kind: 'chunk-end' }
    return count
  }

  #add(bytes: Buffer): number {
    if (this.#collected.length + bytes.length > this.#rules.maxBytes) throw tooLarge(this.#rules.maxBytes)
    this.#collected.add(Buffer.from(bytes)) // of its own: the memory that it came in is used again
    this.#rules.arrived(bytes.length)
    return bytes.length
  }

  /** The line before a chunk, or one of those after the last. */
  #readLine(rest: Buffer): number {
    const end = rest.indexOf('\r\n')
    if ((end < 0 ? rest.length : end) > MAX_CHUNK_LINE) throw notHttp('the line of a chunk is too long')
    if (end < 0) return 0
    const line = rest.toString('latin1', 0, end)
    if (this.#body!.kind === 'trailer') {
      if (line === '') this.#body = { kind: 'done' }
      return this.#skip(end + 2)
    }
    const digits = CHUNK_LINE.exec(line)?.[1]
    if (digits === undefined || digits.length > MAX_CHUNK_DIGITS) throw notHttp('a chunk has no length')
    const left = Number.parseInt(digits, 16)
    this.#body = left === 0 ? { kind: 'trailer' } : { kind: 'chunk', left }
    return end + 2
  }
}

const EMPTY = Buffer.alloc(0)
const CR = 13
const LF = 10

function readHead(text: string): Head {
  const [first = '', ...lines] = text.split('\r\n')
  const [, minor, code] = STATUS_LINE.exec(first) ?? []
  if (code === undefined) throw notHttp('it is not an answer')
  const fields = new Map<string, string>()
  for (const line of lines) {
    const { key, value } = fieldOf(line)
    const before = fields.get(key)
    fields.set(key, before === undefined ? value : `${before}, ${value}`)
  }
  const connection = (fields.get('connection') ?? '').toLowerCase()
  const status = Number(code)
  const body = bodyOf(status, fields)
  const kept = /(?:^|[\s,])timeout=(\d{1,7})/.exec(fields.get('keep-alive') ?? '')?.[1]
  return {
    status,
    isClosed: body.kind === 'close' || /\bclose\b/.test(connection) || (minor === '0' && !/\bkeep-alive\b/.test(connection)),
    keptMs: kept === undefined ? null : Number(kept) * 1000,
    body,
  }
}

/** In time that grows with the line alone: one expression for name, blanks and value would try each blank with each. */
function fieldOf(line: string): { key: string; value: string } {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(0, colon))
  if (!FIELD_NAME.test(name) || line.includes('\r') || line.includes('\n')) throw notHttp('a header is malformed')
  let [from, to] = [colon + 1, line.length]
  while (from < to && isBlank(line, from)) from++
  while (to > from && isBlank(line, to - 1)) to--
  return { key: name.toLowerCase(), value: line.slice(from, to) }
}

const isBlank = (text: string, at: number): boolean => text[at] === ' ' || text[at] === '\t'

/** How long the body is (RFC 9112, section 6.3). */
function bodyOf(status: number, fields: ReadonlyMap<string, string>): Body {
  const [coding, length] = [fields.get('transfer-encoding'), fields.get('content-length')]
  if (coding !== undefined && length !== undefined) throw notHttp('its length is given twice')
  if (status < 200 || status === 204 || status === 304) return { kind: 'length', left: 0 }
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') throw notHttp('its coding is not known')
    return { kind: 'chunk-line' }
  }
  if (length === undefined) return { kind: 'close' }
  if (!/^\d{1,15}$/.test(length)) throw notHttp('its length is not a number')
  return { kind: 'length', left: Number(length) }
}

const notHttp = (what: string) => Object.assign(new Error(`the answer cannot be read: ${what}`), { code: 'HPE_INVALID' })

const tooLarge = (maxBytes: number) => new KeylimeError('payload_too_large', `the answer is larger than ${maxBytes} bytes`)
