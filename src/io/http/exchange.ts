import type { Dispatcher } from 'undici'
import type { RawAnswer } from '../../core/api/envelope.ts'
import { KeylimeError } from '../../core/errors.ts'
import { ByteCollector } from './byte-collector.ts'

/** A request that was sent, and can be given up. */
export interface Exchange {
  /** The whole answer. Rejects with `payload_too_large`, with what it was cut off for, or with what the connection says. */
  readonly answer: Promise<RawAnswer>
  /** Gives it up: the connection is closed, and nothing more of the answer is read. */
  cutOff(reason: Error): void
}

export interface AnswerRules {
  /** Of the answer; of one that announces or has more nothing beyond them is read. */
  readonly maxBytes: number
  /** Is told of bytes as they come. */
  arrived(bytes: number): void
}

/**
 * One request and its answer, collected as it arrives: without a stream, its events and a signal between, which cost as much as all else of a small exchange. For who asks often;
 * `read-answer` does the same with the stream of an answer.
 */
export function exchange(client: Dispatcher, request: Dispatcher.DispatchOptions, { maxBytes, arrived }: AnswerRules): Exchange {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
  const collected = new ByteCollector(maxBytes)
  let controller: Dispatcher.DispatchController | undefined
  let ended: Error | undefined
  let status = 0
  const cutOff = (reason: Error) => {
    if (ended) return
    ended = reason
    controller?.abort(reason)
    reject(reason)
  }
  client.dispatch(request, {
    onRequestStart(given) {
      controller = given
      if (ended) given.abort(ended)
    },
    onResponseStart(_controller, code, headers) {
      if (code < 200) return // only says that an answer will follow
      status = code
      if (Number(headers['content-length']) > maxBytes) cutOff(tooLarge(maxBytes))
    },
    onResponseData(_controller, chunk) {
      if (ended) return
      if (collected.length + chunk.length > maxBytes) return cutOff(tooLarge(maxBytes))
      try {
        collected.add(chunk)
      } catch (error) {
        return cutOff(error as Error)
      }
      arrived(chunk.length)
    },
    onResponseEnd: () => resolve({ status, body: collected.bytes() }),
    onResponseError(_controller, error) {
      ended ??= error
      reject(ended)
    },
  })
  return { answer: promise, cutOff }
}

const tooLarge = (maxBytes: number) => new KeylimeError('payload_too_large', `the answer is larger than ${maxBytes} bytes`)
