import fc from 'fast-check'
import { timeText } from '../../../../../src/roles/verifier/push/api/json-api-reply.ts'

test('a time is in RFC 3339 with its milliseconds, whichever times were written before', () => {
  const year = 31_536_000_000
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200 * year }), (ms) => {
      for (const time of [ms, ms + 1, ms + 1000]) expect(timeText(time)).toBe(new Date(time).toISOString().replace('Z', '+00:00'))
    }),
  )
})

test('parts of a millisecond are left out', () => {
  expect(timeText(1.75)).toBe('1970-01-01T00:00:00.001+00:00')
})
