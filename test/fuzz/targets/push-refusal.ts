import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { readRefusal } from '../../../src/core/api/push/error-answer.ts'
import { errorDocument } from '../../../src/core/api/push/json-api.ts'
import { readRetryAfter } from '../../../src/core/api/push/retry-after.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const NOW = Date.UTC(2027, 0, 1)
/** What `cutText` adds. */
const MARK = 40

/** Refusals of a verifier: bounded words whatever it says, what ours says is read again, and its Retry-After is a time to wait or nothing. */
export const pushRefusal: Target = {
  seeds: () => [
    Buffer.from(errorDocument([{ status: 422, code: 'invalid_resource_data', detail: 'é'.repeat(400), pointer: '/data' }])),
    Buffer.from('{"errors":[{"status":"403","title":"Forbidden"},{"detail":null,"code":"old_attestation"}]}'),
    Buffer.from('120'),
    Buffer.from(new Date(NOW + 5000).toUTCString()),
    Buffer.from('Sun, 06 Nov 1994 08:49:37 GMT'),
    Buffer.from('Sat, 1 Jan 275760 00:00:00 GMT'),
  ],
  words: ['"errors":', '"code":', '"title":', '"detail":', ' GMT', 'Mon, 0', ' Jan 20'],
  run(input) {
    const text = input.toString('utf8')
    const json = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJson(input, 'the answer') }))
    const { code, reason } = readRefusal(json?.value)
    demand(code.length <= 64 + MARK && reason.length <= 300 + MARK, `a refusal of ${code.length} and ${reason.length} characters`)
    const detail = text.slice(0, 300)
    const again = readRefusal(JSON.parse(errorDocument([{ status: 400, code: 'c', detail, pointer: text }])))
    demand(again.code === 'c' && again.reason === (detail === '' ? 'c' : detail), 'what was refused is read otherwise')
    const wait = readRetryAfter(text, NOW)
    demand(wait === null || (Number.isSafeInteger(wait) && wait >= 0), `it waits ${wait} ms`)
    const seconds = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : null
    if (seconds !== null) demand(wait === seconds, `${text} seconds are ${wait} ms`)
    const time = new Date(text)
    const isDate = !Number.isNaN(time.getTime()) && time.toUTCString() === text && time.getTime() >= 0
    if (isDate) demand(wait === Math.max(0, time.getTime() - NOW), `until ${text} it waits ${wait} ms`)
  },
}
