import type { Dispatcher } from 'undici'
import { KeylimeError } from '../../core/errors.ts'
import { Pieces } from './pieces.ts'

type Answer = Pick<Dispatcher.ResponseData, 'headers' | 'body'>

/**
 * The bytes of an answer. When it announces or has more than `maxBytes`, the connection is destroyed: nothing beyond them is read.
 * @param arrived is told of bytes as they come. @throws KeylimeError `payload_too_large`, or what the connection throws.
 */
export async function readAnswer({ headers, body }: Answer, maxBytes: number, arrived?: (bytes: number) => void): Promise<Buffer> {
  const tooLarge = () => new KeylimeError('payload_too_large', `the answer is larger than ${maxBytes} bytes`)
  if (Number(headers['content-length']) > maxBytes) {
    body.on('error', () => undefined).destroy()
    throw tooLarge()
  }
  const pieces = new Pieces()
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (pieces.length + chunk.length > maxBytes) throw tooLarge() // leaving the loop destroys the body, and with it the connection
    pieces.add(chunk)
    arrived?.(chunk.length)
  }
  return pieces.all()
}
