import type { IncomingMessage } from 'node:http'
import { KeylimeError } from '../../core/errors.ts'

/**
 * Reads a request's body as JSON, whatever its content type says (protocol 1.1).
 * @returns undefined when there is no body. @throws KeylimeError `payload_too_large` or `invalid_request`.
 */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const text = (await readBody(request, maxBytes)).toString('utf8')
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', 'the body is not valid JSON', { cause })
  }
}

/** The bytes of a body. Stops reading, but leaves the connection open for the answer, when there is more than `maxBytes`. */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const take = (chunk: Buffer) => {
      length += chunk.length
      if (length <= maxBytes) return void chunks.push(chunk)
      request.off('data', take)
      request.pause()
      reject(new KeylimeError('payload_too_large', `the body is larger than ${maxBytes} bytes`))
    }
    request.on('data', take)
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', (cause) => reject(new KeylimeError('invalid_request', 'the request ended before its body', { cause })))
  })
}
