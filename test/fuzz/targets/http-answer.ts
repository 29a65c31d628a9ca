import { AnswerReader } from '../../../src/io/http/answer-reader.ts'
import { demand, type Target, text } from '../target.ts'

const MAX_BYTES = 1000
const OK = 'HTTP/1.1 200 OK\r\n'

/** Answers of machines: however the network cuts one, it is the same answer or the same refusal, and never larger than it may be. */
export const httpAnswer: Target = {
  seeds: () => [
    text(`${OK}content-length: 5\r\n\r\nhello`),
    text(`${OK}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nx: y\r\n\r\n`),
    text(`HTTP/1.1 100 Continue\r\n\r\n${OK}connection: close\r\nkeep-alive: timeout=5\r\n\r\nall`),
    text('HTTP/1.0 204 No Content\r\n\r\n'),
  ],
  words: ['HTTP/1.1 ', 'HTTP/1.0 ', '\r\n\r\n', 'content-length: ', 'transfer-encoding: chunked', 'connection: close', '0\r\n\r\n', '1000'],
  run(input) {
    const whole = read([input])
    const cut = read(Array.from(input, (_, at) => input.subarray(at, at + 1)))
    demand(whole === cut, () => `whole: ${whole}; byte by byte: ${cut}`)
  },
}

function read(parts: readonly Buffer[]): string {
  const reader = new AnswerReader({ maxBytes: MAX_BYTES, arrived: () => undefined })
  try {
    let isWhole = false
    for (const part of parts) isWhole = reader.push(part)
    if (!isWhole && !reader.end()) return 'not whole'
    const { status, body } = reader.answer()
    demand(body.length <= MAX_BYTES, `it has ${body.length} bytes`)
    return `${status} ${reader.isLast} ${reader.keptMs} ${body.toString('base64')}`
  } catch (error) {
    return String((error as { code?: string }).code ?? error)
  }
}
