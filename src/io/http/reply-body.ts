import http from 'node:http'
import { cutText } from '../../core/verdict/bounded-text.ts'
import { MAX_MESSAGE } from './refuse-request.ts'
import type { ApiReply } from './route.ts'

/** The body of a reply: its own, or the envelope of upstream; undefined for none. */
export function replyBody({ raw, message, results }: ApiReply, status: number): ApiReply['raw'] {
  if (raw || status === 204 || status === 304) return raw
  const text = cutText(message ?? (status === 200 ? 'Success' : (http.STATUS_CODES[status] ?? '')), MAX_MESSAGE)
  return { type: 'application/json', body: JSON.stringify({ code: status, status: text, results: results === undefined ? {} : results }) }
}

export const isWhole = (body: string | Buffer | AsyncIterable<Buffer>): body is string | Buffer =>
  typeof body === 'string' || Buffer.isBuffer(body)
