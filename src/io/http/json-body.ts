import type { IncomingMessage } from 'node:http'
import { KeylimeError } from '../../core/errors.ts'

/**
 * Reads a request's body as JSON, whatever its content type says (protocol 1.1).
 * @returns undefined when there is no body. @throws KeylimeError `payload_too_large` or `invalid_request`.
 */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const tooLarge = () => new KeylimeError('payload_too_large', `the body is larger than ${maxBytes} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', 'the body is not valid JSON', { cause })
  }
}
