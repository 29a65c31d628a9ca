import type { IncomingMessage, ServerResponse } from 'node:http'
import { hasBody } from './read-body.ts'

/** How long a peer that is still sending has time to read the answer. */
const LINGER_MS = 1000
/** What is left of a request and is at most this long is read, so that the connection can be used on. */
const SMALL_REST = 64 << 10

/** Whether an answer comes before the request has come whole, and what is left of it is not worth reading. */
export function isCutOff(request: IncomingMessage): boolean {
  if (request.complete || !hasBody(request)) return false
  if (request.readableFlowing !== null || request.headers.expect !== undefined) return true
  return !(Number(request.headers['content-length']) <= SMALL_REST)
}

/**
 * Sends an answer, reads nothing more, and closes the connection. Closing at once would reset it, and the answer might be lost on its way: our side is
 * shut first, and the rest a moment later, or when the peer closes.
 */
export function answerAndCutOff(request: IncomingMessage, response: ServerResponse, body: string | Buffer): void {
  const { socket } = request
  if (socket.destroyed) return // the peer went first
  request.pause()
  response.setHeader('Connection', 'close')
  response.setHeader('Content-Length', Buffer.byteLength(body))
  response.write(body) // never ended: Node would read the request to its end
  socket.end()
  const linger = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(linger))
}
