import type { IncomingMessage } from 'node:http'
import { parseBoundedJson } from '../../core/api/bounded-json.ts'
import { KeylimeError } from '../../core/errors.ts'
import { createNextTurn } from '../next-turn.ts'
import { type BodyPlace, type BodyRoom, FREE_BYTES } from './body-room.ts'
import { ByteCollector } from './byte-collector.ts'
import { peerNetwork } from './peer-network.ts'
import type { BodyRule } from './route.ts'
import { createTurnShare } from './turn-share.ts'

/** Of a route that says nothing else. */
export const SMALL_BODY: BodyRule = { maxBytes: 64 << 10 }

export interface ReadBody {
  /** Parsed JSON, or a Buffer where the rule says so; undefined when there was no body. */
  body: unknown
  /** The body is worked off, and counts no longer. */
  done(): void
}

/**
 * Reads a body by the rule of its route, as JSON whatever its content type says (protocol 1.1). What is more than it may be is not read: the connection must
 * then be closed. @param who has the body, where that is not the network that it comes from. @throws KeylimeError `payload_too_large`, `too_many_requests`, `unavailable`, `request_timeout` or `invalid_request`.
 */
export async function readBody(request: IncomingMessage, rule: BodyRule, room: BodyRoom, who?: string): Promise<ReadBody> {
  const { maxBytes } = rule
  if (hasBody(request)) {
    await null // by now the parser has gone through all that came
    if (!request.complete && Number(request.headers['content-length'] ?? FREE_BYTES) < smallOf(rule)) await nextTurn()
  }
  const whole = bodyAtHand(request, rule)
  if (whole) return whole
  if (request.destroyed) throw endedEarly()
  const { bytes, done } = await readBytes(request, maxBytes, room.enter.bind(null, who ?? peerNetwork(request.socket.remoteAddress ?? '')))
  try {
    return { body: read(bytes, rule), done }
  } catch (error) {
    done()
    throw error
  }
}

/** The same of a small body that is here as a whole, and of none; null for any other. @throws KeylimeError `invalid_request`. */
export function bodyAtHand(request: IncomingMessage, rule: BodyRule): ReadBody | null {
  if (!hasBody(request)) return rule.as === 'bytes' ? NOTHING_AS_BYTES : NOTHING
  if (!request.complete || request.readableLength > smallOf(rule)) return null
  return { body: read((request.read() as Buffer | null) ?? NO_BYTES, rule), done: nothing }
}

const smallOf = ({ maxBytes }: BodyRule): number => Math.min(FREE_BYTES, maxBytes)
const NO_BYTES = Buffer.alloc(0)
const nothing = () => undefined
const NOTHING: ReadBody = { body: undefined, done: nothing }
const NOTHING_AS_BYTES: ReadBody = { body: NO_BYTES, done: nothing }

/** Most bodies are small and come with their headers, or in the same moment: what is whole in the next turn takes no place in the room. */
const nextTurn = createNextTurn()

interface WholeBody {
  bytes: Buffer
  done(): void
}

const endedEarly = (cause?: Error) => new KeylimeError('invalid_request', 'the request ended before its body', { cause })

/** Whether a body belongs to the request (RFC 9112, section 6.3). */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** A body of nothing but blanks is none, as upstream's clients send it. */
const MAX_BLANKS = 100

function read(bytes: Buffer, { as, json }: BodyRule): unknown {
  if (as === 'bytes') return bytes
  if (bytes.length < MAX_BLANKS && bytes.toString('latin1').trim() === '') return undefined
  return parseBoundedJson(bytes, 'the body', json)
}

/** Small bodies come with their headers, nearly; large ones may have a slow way. */
const PATIENCE_MS = 20_000
const SLOWEST_BYTES_A_MS = 512

/** Of all bodies that come in pieces. */
const share = createTurnShare()

type Enter = (cutOff: (reason: KeylimeError) => void) => BodyPlace

function readBytes(request: IncomingMessage, maxBytes: number, enter: Enter): Promise<WholeBody> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
  return new Promise((resolve, reject) => {
    const collected = new ByteCollector(maxBytes)
    const place = enter(fail)
    const patience = setTimeout(
      () => fail(new KeylimeError('request_timeout', 'the body did not come in time')),
      PATIENCE_MS + maxBytes / SLOWEST_BYTES_A_MS,
    )
    let isRead = false
    function take(chunk: Buffer): void {
      try {
        if (collected.length + chunk.length > maxBytes) throw tooLarge(maxBytes)
        place.grow(chunk.length)
        collected.add(chunk)
        if (share.takes(chunk.length)) return
        request.pause()
        share.whenNext(() => isRead || request.resume())
      } catch (error) {
        fail(error as KeylimeError)
      }
    }
    function fail(reason: KeylimeError): void {
      if (isRead) return
      stop()
      request.pause()
      place.leave()
      reject(reason)
    }
    const broken = (cause: Error) => fail(endedEarly(cause))
    const end = () => {
      stop()
      place.arrived()
      resolve({ bytes: collected.bytes(), done: place.leave })
    }
    function stop(): void {
      isRead = true
      clearTimeout(patience)
      request.off('data', take).off('end', end)
    }
    request.on('data', take).on('end', end).on('error', broken) // the last stays: an error after the end of reading is nobody's
  })
}

const tooLarge = (maxBytes: number) => new KeylimeError('payload_too_large', `the body is larger than ${maxBytes} bytes`)
