import { hash } from 'node:crypto'
import { parseBoundedJson } from '../../../core/api/bounded-json.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type WaitRequest, waitRequest } from '../../../core/api/push/wait.ts'

/** Reads long requests. @throws KeylimeError `invalid_request`. */
export type ReadWait = (body: Buffer) => WaitRequest

const MAX_KEPT = 64

/**
 * A fleet that is told of nothing says the same in the same bytes, machine by machine: what was read of these is known again by their digest. Requests that acknowledge something are of one machine, and are not
 * kept. @param maxKept so many are kept; the one that was read first goes.
 */
export function createReadWait(maxKept: number = MAX_KEPT): ReadWait {
  const kept = new Map<string, WaitRequest>()
  return (body) => {
    const sha256 = hash('sha256', body, 'base64url')
    const known = kept.get(sha256)
    if (known) return known
    const request = parseMessage(waitRequest, parseBoundedJson(body, 'the body'), 'the request for news')
    if (request.acknowledged.length > 0) return request
    kept.set(sha256, request)
    if (kept.size > maxKept) kept.delete(kept.keys().next().value!)
    return request
  }
}
